"""What starts an engine or a stack of its own, and so needs not wait for the others."""
