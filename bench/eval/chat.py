"""One question to one target, through the gateway's chat completions."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, replace
from typing import Any

from bench.endpoint import Failure, Gateway
from bench.eval.predictions import objects
from bench.eval.rows import Example


@dataclass(frozen=True, slots=True)
class Sampling:
    """How answers are drawn: the options of LLaMA-Factory's `scripts/vllm_infer.py`, with its defaults."""

    temperature: float = 0.95
    top_p: float = 0.7
    top_k: int = 50
    max_new_tokens: int = 1024
    repetition_penalty: float = 1.0
    seed: int | None = None

    def fields(self) -> dict[str, Any]:
        """The request's fields. What changes nothing is left out, for not every engine knows it."""
        fields: dict[str, Any] = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "max_tokens": self.max_new_tokens,
        }
        if self.top_k > 0:
            fields["top_k"] = self.top_k
        if self.repetition_penalty != 1.0:
            fields["repetition_penalty"] = self.repetition_penalty
        if self.seed is not None:
            fields["seed"] = self.seed
        return fields

    def settings(self) -> dict[str, Any]:
        """All options by name, for the record of a run."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a target said; `truncated` when it ran into the limit of new tokens.

    `citations` and `unverified` are the gateway's own about a grounded answer; None of one that is not. `revision` is
    the adapter's that answered, if one did.
    """

    text: str
    truncated: bool
    prompt_tokens: int | None
    completion_tokens: int | None
    citations: list[dict[str, Any]] | None = None
    unverified: list[dict[str, Any]] | None = None
    revision: str | None = None


async def ask(gateway: Gateway, model: str, example: Example, sampling: Sampling) -> Answer:
    """The answer of `model`. Raises Failure."""
    body: dict[str, Any] = {"model": model, "messages": example.messages, **sampling.fields()}
    if example.tools:
        body["tools"] = example.tools
    reply = await gateway.reply("POST", "/v1/chat/completions", body)
    return replace(_answer(reply.body), revision=reply.revision)


def _answer(reply: dict[str, Any]) -> Answer:
    try:
        choice = reply["choices"][0]
        message = choice["message"]
        text = message.get("content") or message.get("refusal") or _called(message.get("tool_calls") or [])
        usage = reply.get("usage") or {}
        truncated = choice.get("finish_reason") == "length"
        if not isinstance(text, str):
            raise TypeError
    except (KeyError, IndexError, TypeError, AttributeError):
        raise Failure("invalid", "The reply is no chat completion.") from None
    if not text.strip():
        hint = "; all new tokens went elsewhere, raise `--max-new-tokens`" if truncated else ""
        raise Failure("empty", f"The answer has no text{hint}.")
    # JSON can carry half a surrogate pair, UTF-8 cannot.
    text = text.encode("utf-8", "replace").decode()
    return Answer(
        text,
        truncated,
        usage.get("prompt_tokens"),
        usage.get("completion_tokens"),
        objects(message.get("citations")),
        objects(message.get("unverified")),
    )


def _called(calls: list[dict[str, Any]]) -> str:
    """Tool calls as LLaMA-Factory writes them into labels: one object, or a list of them."""
    called = []
    for call in calls:
        arguments = call["function"]["arguments"]
        with contextlib.suppress(ValueError):  # Broken arguments are compared as the text that they are.
            arguments = json.loads(arguments)
        called.append({"name": call["function"]["name"], "arguments": arguments})
    if not called:
        return ""
    return json.dumps(called[0] if len(called) == 1 else called, ensure_ascii=False)
