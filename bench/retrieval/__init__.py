"""Retrieval: whether a knowledge base finds the articles that answer a question, over HTTP."""
