"""One module per OpenAI resource, and the operator's own API."""
