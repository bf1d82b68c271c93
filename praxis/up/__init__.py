"""How Praxis comes up on a fresh machine: environments, engines, processes, first start.

`progress`, `environment` and `program` use the standard library alone: they run before anything is installed.
"""
