"""The only fakes of the test suite: real HTTP servers that speak an engine's dialect and can misbehave on purpose."""
