"""What this room adds to `praxis …`: `praxis eval` and `praxis bench`."""

from bench.eval.cli import evaluate
from bench.load.cli import bench

__all__ = ["bench", "evaluate"]
