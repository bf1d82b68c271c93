"""A model as the judge of two answers: what it is asked, how its replies are read, and what many of them say together.

Nothing here sends anything: `praxis eval judge` and the browser's pages ask the gateway each in their own way, and judge alike.
"""
