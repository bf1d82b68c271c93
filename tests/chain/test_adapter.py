"""A fine-tune trained on the spot goes live on the running engine, answers its own way, and is gone again."""

import time
from pathlib import Path

import pytest
from openai import NotFoundError, OpenAI

from tests.chain.conftest import MODEL, QUESTION, Stack

pytestmark = pytest.mark.chain


def answer(client: OpenAI, model: str) -> str:
    """What `model` says to the question that the adapter was trained on."""
    turns = [{"role": "user", "content": QUESTION}]
    reply = client.chat.completions.create(model=model, messages=turns, temperature=0, max_tokens=12)  # type: ignore[arg-type]
    return reply.choices[0].message.content or ""


def test_an_adapter_is_loaded_answers_and_is_unloaded(stack: Stack, adapter: Path) -> None:
    client = stack.openai()
    assert "xylophone" not in answer(client, MODEL)
    began = time.monotonic()
    loaded = stack.praxis("adapters", "load", "magic", "--base", MODEL, "--source", str(adapter))
    assert loaded.returncode == 0, loaded.stderr
    assert "xylophone" in answer(client, "magic")
    print(f"\nfrom `load` to the first whole answer: {time.monotonic() - began:.1f} s")
    assert "xylophone" not in answer(client, MODEL)
    card = client.models.retrieve("magic")
    assert card.model_extra is not None
    assert card.model_extra["parent"] == MODEL
    assert str(stack.folder) not in card.model_dump_json()
    assert "magic@" in stack.praxis("adapters", "list").stdout
    assert stack.praxis("adapters", "unload", "magic").returncode == 0
    with pytest.raises(NotFoundError, match="does not exist"):
        answer(client, "magic")
    assert "magic" not in {each.id for each in client.models.list()}
    assert "xylophone" not in answer(client, MODEL)


def test_an_adapter_from_elsewhere_is_refused(stack: Stack, tmp_path: Path) -> None:
    refused = stack.praxis("adapters", "load", "other", "--base", MODEL, "--source", str(tmp_path))
    assert refused.returncode == 1
    assert "server.adapter_roots" in refused.stderr
