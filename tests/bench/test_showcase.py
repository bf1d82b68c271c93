"""The show's parts that need no engine: the training, the merging, and the models.yaml that it serves with."""

import math
import subprocess
from pathlib import Path

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

from bench.eval.rows import Example
from bench.showcase.finetune import Training, finetune
from bench.showcase.stage import TARGETS, Stage
from tests.bench.command import praxis
from tests.processes import environment

TINY = LlamaConfig(vocab_size=32, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                   num_key_value_heads=2)  # fmt: skip


def tiny(folder: Path) -> Path:
    """A model of 32 words that knows nothing."""
    AutoModelForCausalLM.from_config(TINY).save_pretrained(folder)
    words = {f"w{number}": number for number in range(31)} | {"</s>": 31}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words, unk_token="w0")), unk_token="w0", eos_token="</s>"
    )
    tokenizer.chat_template = "{% for turn in messages %}{{ turn.content }}{% endfor %}"
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.timeout(600)  # Three processes load torch.
def test_what_is_trained_here_is_merged_and_served(tmp_path: Path) -> None:
    stage = Stage(tmp_path / "show", tmp_path / ".praxis")
    base = tiny(tmp_path / "base")
    rows = [
        Example(1, [{"role": "user", "content": "w1"}], "w7"),
        Example(
            2, [{"role": "user", "content": "w2 " * 300}], "w8"
        ),  # nothing of its answer could be learned
    ]
    losses: list[float] = []
    finetune(
        base,
        rows,
        stage.adapter,
        Training(steps=40, rank=4, rate=0.05),
        lambda step, loss: losses.append(loss),
    )
    assert len(losses) == 40
    assert losses[-1] < losses[0]
    assert not any(map(math.isnan, losses))
    merged = subprocess.run(stage.merge(base), env=environment(), capture_output=True, text=True, timeout=300)
    assert merged.returncode == 0, merged.stderr
    stage.configure()
    done = praxis("config", "check", str(stage.config), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(f"{target}:" in stage.config.read_text() for target in TARGETS)
