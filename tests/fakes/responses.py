"""`/v1/responses` as vLLM 0.32 answers it: text alone, which is all that Praxis passes through unread."""

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

from tests.fakes.faults import sse
from tests.fakes.saying import Said
from tests.fakes.shapes import PROMPT_TOKENS

PATH = "/v1/responses"


def whole(body: dict[str, Any], model: str, answer: Said, longest: int) -> dict[str, Any]:
    """The response to `body`."""
    return _response(body, model, longest) | _end(answer, [_message(answer)])


def events(body: dict[str, Any], model: str, answer: Said, longest: int) -> Iterator[bytes]:
    """The events of the response to `body`."""
    begun = _response(body, model, longest)
    message = _message(answer)
    at = {"item_id": message["id"], "output_index": 0}
    part: dict[str, Any] = message["content"][0]
    empty = {**part, "text": "", "logprobs": []}
    told: list[tuple[str, dict[str, Any]]] = [
        ("created", {"response": begun}),
        ("in_progress", {"response": begun}),
        (
            "output_item.added",
            {"item": message | {"content": [], "status": "in_progress"}, "output_index": 0},
        ),
        ("content_part.added", {**at, "content_index": 0, "part": empty}),
    ]
    told += [
        ("output_text.delta", {**at, "content_index": 0, "delta": each, "logprobs": []})
        for each in answer.words
    ]
    told += [
        ("output_text.done", {**at, "content_index": 0, "logprobs": [], "text": part["text"]}),
        ("content_part.done", {**at, "content_index": 0, "part": part}),
        ("output_item.done", {"item": message, "output_index": 0}),
        ("completed", {"response": begun | _end(answer, [message])}),
    ]
    for number, (kind, event) in enumerate(told):
        kind = f"response.{kind}"
        yield f"event: {kind}\n".encode() + sse({**event, "sequence_number": number, "type": kind})


def events_of(text: str) -> list[dict[str, Any]]:
    """The events of a stream of this form, each named as its data says."""
    assert text.endswith("\n\n")
    found = []
    for frame in text.removesuffix("\n\n").split("\n\n"):
        name, _, data = frame.partition("\n")
        event = json.loads(data.removeprefix("data: "))
        assert name == f"event: {event['type']}"
        found.append(event)
    assert [each["sequence_number"] for each in found] == list(range(len(found)))
    return found


def _response(body: dict[str, Any], model: str, longest: int) -> dict[str, Any]:
    return {
        "id": f"resp_{secrets.token_hex(16)}", "created_at": int(time.time()), "incomplete_details": None,
        "instructions": body.get("instructions"), "metadata": body.get("metadata"), "model": model,
        "object": "response", "output": [], "parallel_tool_calls": True,
        "temperature": float(body.get("temperature") or 0.0), "tool_choice": "auto", "tools": [], "top_p": 1.0,
        "background": False, "max_output_tokens": body.get("max_output_tokens") or longest - PROMPT_TOKENS,
        "max_tool_calls": None, "previous_response_id": None, "prompt": None, "reasoning": None,
        "service_tier": "auto", "status": "in_progress", "text": None, "top_logprobs": None,
        "truncation": "disabled", "usage": None, "user": body.get("user"), "presence_penalty": 0.0,
        "frequency_penalty": 0.0, "kv_transfer_params": None, "ec_transfer_params": None, "input_messages": None,
        "output_messages": None,
    }  # fmt: skip


def _end(answer: Said, output: list[dict[str, Any]]) -> dict[str, Any]:
    cut = answer.reason == "length"
    return {
        "status": "incomplete" if cut else "completed",
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "output": output,
        "usage": {
            "input_tokens": PROMPT_TOKENS,
            "input_tokens_details": {"cached_tokens": 0, "input_tokens_per_turn": [], "cached_tokens_per_turn": []},
            "output_tokens": answer.count,
            "output_tokens_details": {
                "reasoning_tokens": 0, "tool_output_tokens": 0, "output_tokens_per_turn": [],
                "tool_output_tokens_per_turn": [],
            },
            "total_tokens": PROMPT_TOKENS + answer.count,
        },
    }  # fmt: skip


def _message(answer: Said) -> dict[str, Any]:
    text = {"annotations": [], "text": "".join(answer.words), "type": "output_text", "logprobs": None}
    return {"id": f"msg_{secrets.token_hex(8)}", "content": [text], "role": "assistant", "status": "completed",
            "type": "message", "phase": None}  # fmt: skip
