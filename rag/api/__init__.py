"""One module per OpenAI resource that this process serves."""
