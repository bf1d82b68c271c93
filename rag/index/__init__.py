"""Finding: embeddings, the vector store, the keyword index and their fusion."""
