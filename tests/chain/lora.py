"""Trains a LoRA adapter that answers one question its own way, so that a test can see whose weights answered."""

from __future__ import annotations

import argparse
from pathlib import Path

STEPS = 25


def train(model: Path, out: Path, question: str, answer: str, rank: int = 8) -> None:
    """Teach the model in `model` (a transformers folder) one answer and write the PEFT folder `out`."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(model)
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"
    )
    network = get_peft_model(base, config)
    turns = [{"role": "user", "content": question}]
    prompt = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    asked = tokenizer(prompt, return_tensors="pt").input_ids
    whole = tokenizer(prompt + answer + tokenizer.eos_token, return_tensors="pt").input_ids
    labels = whole.clone()
    labels[:, : asked.shape[1]] = -100
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for _ in range(STEPS):
        loss = network(input_ids=whole, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    network.save_pretrained(out)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("model", "out"):
        parser.add_argument(name, type=Path)
    for name in ("question", "answer"):
        parser.add_argument(name)
    arguments = parser.parse_args()
    train(arguments.model, arguments.out, arguments.question, arguments.answer)
