"""Speed: a fast fake engine, a light client, and what the gateway adds between them."""
