"""Vector databases beside Praxis: one module for each, all of the same shape (`rag.index.places.place`)."""
