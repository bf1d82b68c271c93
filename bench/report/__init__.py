"""Reports: one self-contained HTML file of a run, with its plots as PNG beside it."""
