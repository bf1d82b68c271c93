"""One module per page; each draws itself for a `Session`."""
