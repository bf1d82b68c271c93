"""A LoRA adapter, trained in a few minutes on rows of a data set. It shows what is measured; it is no recipe for a good one."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.eval.rows import Example
from praxis.errors import PraxisError

_LONGEST = 192
"""Tokens of question and answer; what goes beyond is cut off."""


@dataclass(frozen=True, slots=True)
class Training:
    """How to train: so many `steps` of one row each, of LoRA matrices of `rank` at the learning `rate`."""

    steps: int
    rank: int = 16
    rate: float = 5e-4
    seed: int = 0


def finetune(
    model: Path, rows: Sequence[Example], out: Path, how: Training, report: Callable[[int, float], None]
) -> None:
    """Train on `rows` and write the PEFT folder `out`. `report` is told steps done and the last loss.

    `model` is a transformers folder. Only the answers are learned, not the questions. Raises PraxisError when every
    question is so long that nothing of its answer is left.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    torch.manual_seed(how.seed)
    tokenizer = AutoTokenizer.from_pretrained(model)
    network = get_peft_model(
        AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        LoraConfig(
            r=how.rank,
            lora_alpha=2 * how.rank,
            target_modules=["q_proj", "k_proj", "v_proj", "o_proj"],
            task_type="CAUSAL_LM",
        ),
    )
    taught = [each for row in rows if (each := _tokens(tokenizer, row))[1].ge(0).any()]
    if not taught:
        raise PraxisError(f"No question is shorter than {_LONGEST} tokens; give rows with shorter ones.")
    optimizer = torch.optim.AdamW(network.parameters(), lr=how.rate)
    chance = random.Random(how.seed)
    for step in range(how.steps):
        tokens, labels = chance.choice(taught)
        loss = network(input_ids=tokens, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        report(step + 1, float(loss.detach()))
    network.save_pretrained(str(out))


def _tokens(tokenizer: Any, row: Example) -> tuple[Any, Any]:
    """The tokens of a row, and the same as labels with those of the question masked."""
    question = tokenizer.apply_chat_template(row.messages, add_generation_prompt=True, tokenize=False)
    asked = len(tokenizer(question).input_ids)
    tokens = tokenizer(question + row.label + tokenizer.eos_token, return_tensors="pt").input_ids
    tokens = tokens[:, :_LONGEST]
    labels = tokens.clone()
    labels[:, :asked] = -100
    return tokens, labels
