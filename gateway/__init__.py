"""The HTTP plane: one request from socket to engine, and the control of models, adapters and keys."""
