"""The kernel that every room of Praxis shares: configuration, errors, state, keys, logging, commands."""
