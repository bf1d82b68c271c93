"""Measuring: quality of answers (`bench.eval`) and speed (`bench.load`). Speaks to everything else over HTTP."""
