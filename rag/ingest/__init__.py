"""Documents in: recognising files, reading their text in a bounded process, splitting by structure."""
