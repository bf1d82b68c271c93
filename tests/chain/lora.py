"""Trains a LoRA adapter that answers one question its own way, so that a test can see whose weights answered."""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.eval.rows import Example
from bench.showcase.finetune import Training, finetune

HOW = Training(steps=25, rank=8, rate=5e-3)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("model", "out"):
        parser.add_argument(name, type=Path)
    for name in ("question", "answer"):
        parser.add_argument(name)
    given = parser.parse_args()
    row = Example(1, [{"role": "user", "content": given.question}], given.answer)
    finetune(given.model, [row], given.out, HOW, lambda step, loss: None)
