"""The hot path: forward one request, stream the reply, cancel, time out, retry."""
