"""Documents in, passages and cited answers out: its own process, and the only room that knows LlamaIndex."""
