"""A grounded answer as a response of OpenAI's Responses API: one object, or the events that add up to it.

The output is a `file_search_call`, then what the model thinks, says and calls, each an item of its own. A client of the
events learns of an item before its content, and gets every item whole when it is done; sequence numbers have no gap.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from rag.answer.citations import Evidence
from rag.answer.form import Search, data
from rag.answer.reply import Chunk, Failure, Pieces
from rag.passages import Hit

Item = dict[str, Any]

RESULTS = "file_search_call.results"
"""What `include` holds where the passages are to be listed."""

_ECHOED: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "temperature": None,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_logprobs": 0,
    "top_p": None,
    "truncation": "auto",
    "user": None,
}
"""Fields that a response repeats from its request, and what they are where it is silent."""

_CUT = {"length": "max_output_tokens", "content_filter": "content_filter"}
_TEXT_OF = {"output_text": "text", "refusal": "refusal", "reasoning_text": "text"}
"""The kinds of parts, and where each keeps its text."""


@dataclass(frozen=True, slots=True)
class Response:
    """The form of `/v1/responses`: under the `name` that was asked for, repeating what `body` asked."""

    name: str
    body: Mapping[str, Any]

    @property
    def lists_passages(self) -> bool:
        return RESULTS in self.body.get("include", ())

    def whole(self, completion: dict[str, Any], evidence: Evidence, search: Search) -> dict[str, Any]:
        writing = self._begin()
        choice = completion["choices"][0]
        message = choice["message"]
        calls = [call | {"index": at} for at, call in enumerate(message.get("tool_calls") or ())]
        said = completion | {"choices": [choice | {"delta": message | {"tool_calls": calls}}]}
        for _ in (*writing.searched(search, listed=self.lists_passages), *writing.chunk(said, evidence)):
            pass  # the events of a plain reply are the items that they leave behind
        _ = list(writing.end())
        return writing.response

    async def stream(self, pieces: Pieces, search: Search) -> AsyncIterator[bytes]:
        """Ends in `response.failed` where the model's breaks."""
        writing = self._begin()
        for event in (*writing.begin(), *writing.searched(search, listed=self.lists_passages)):
            yield event
        async for piece in pieces:
            failed = isinstance(piece, Failure)
            events = (
                writing.fail(piece.body)
                if isinstance(piece, Failure)
                else writing.chunk(piece.chunk, piece.evidence)
            )
            for event in events:
                yield event
            if failed:
                return
        for event in writing.end():
            yield event

    def _begin(self) -> Writing:
        return Writing(
            {
                "id": f"resp_{uuid.uuid4().hex}",
                "object": "response",
                "created_at": int(time.time()),
                "completed_at": None,
                "status": "in_progress",
                "background": False,
                "conversation": None,
                "error": None,
                "incomplete_details": None,
                "model": self.name,
                "output": [],
                "previous_response_id": None,
                "service_tier": "default",
                "store": False,
                "usage": None,
                **{name: self.body.get(name, silent) for name, silent in _ECHOED.items()},
            }
        )


@dataclass(slots=True)
class Writing:
    """A `response` while it is written; each step returns its events."""

    response: dict[str, Any]
    _number: int = 0
    _reasoning: Item | None = None
    _message: Item | None = None
    _calls: dict[int, Item] = field(default_factory=dict)
    _reason: str = "stop"

    def begin(self) -> Iterator[bytes]:
        """The response exists."""
        yield self._event("created", response=self.response)
        yield self._event("in_progress", response=self.response)

    def searched(self, search: Search, *, listed: bool) -> Iterator[bytes]:
        """The passages were looked for; `listed` says whether the item lists them."""
        call: Item = {
            "id": _id("fs"),
            "type": "file_search_call",
            "status": "in_progress",
            "queries": [],
            "results": None,
        }
        at = yield from self._add(call)
        for step in ("in_progress", "searching", "completed"):
            yield self._event(f"file_search_call.{step}", output_index=at, item_id=call["id"])
        results = (
            [_result(*each) for each in zip(search.hits, search.attributes, strict=True)] if listed else None
        )
        call |= {"status": "completed", "queries": [search.query], "results": results}
        yield self._event("output_item.done", output_index=at, item=call)

    def chunk(self, chunk: Chunk, evidence: Evidence | None) -> Iterator[bytes]:
        """The model went on; with the chunk that finishes its answer comes the evidence."""
        if chunk.get("usage"):
            self.response["usage"] = _usage(chunk["usage"])
        if not chunk.get("choices"):
            return
        choice = chunk["choices"][0]
        delta = choice.get("delta") or {}
        if thought := delta.get("reasoning") or delta.get("reasoning_content"):
            yield from self._think(thought)
        for kind, text in (("output_text", delta.get("content")), ("refusal", delta.get("refusal"))):
            if text:
                yield from self._say(kind, text)
        for call in delta.get("tool_calls") or ():
            yield from self._call(call)
        if evidence is not None:
            yield from self._cite(evidence)
        self._reason = choice.get("finish_reason") or self._reason

    def end(self) -> Iterator[bytes]:
        """The answer is whole, or as long as it may be."""
        cut = _CUT.get(self._reason)
        status = "incomplete" if cut else "completed"
        if self._message is None and not self._calls:
            yield from self._say("output_text", "")
        yield from self._close(status)
        self.response |= {
            "status": status,
            "completed_at": None if cut else int(time.time()),
            "incomplete_details": {"reason": cut} if cut else None,
            "usage": self.response["usage"] or _usage({}),
        }
        yield self._event(status, response=self.response)

    def fail(self, body: Mapping[str, Any]) -> Iterator[bytes]:
        """The answer broke off; `body` is an error in the one shape."""
        error = body["error"]
        code = "rate_limit_exceeded" if error.get("type") == "rate_limit_error" else "server_error"
        for item in self.response["output"]:
            if item["status"] == "in_progress":
                item["status"] = "incomplete"
        self.response |= {"status": "failed", "error": {"code": code, "message": error["message"]}}
        yield self._event("failed", response=self.response)

    # What the model does

    def _think(self, text: str) -> Iterator[bytes]:
        if self._reasoning is None:
            item: Item = {
                "id": _id("rs"),
                "type": "reasoning",
                "summary": [],
                "content": [],
                "status": "in_progress",
            }
            self._reasoning = yield from self._open(item, {"type": "reasoning_text", "text": ""})
        yield from self._write(self._reasoning, text)

    def _say(self, kind: str, text: str) -> Iterator[bytes]:
        yield from self._thought()
        if self._message is None:
            item: Item = {
                "id": _id("msg"),
                "type": "message",
                "role": "assistant",
                "content": [],
                "status": "in_progress",
            }
            part: Item = {"type": kind, _TEXT_OF[kind]: ""}
            if kind == "output_text":
                part |= {"annotations": [], "logprobs": []}
            self._message = yield from self._open(item, part)
        yield from self._write(self._message, text)

    def _call(self, call: Mapping[str, Any]) -> Iterator[bytes]:
        yield from self._thought()
        function = call.get("function") or {}
        item = self._calls.get(call["index"])
        if item is None:
            item = self._calls[call["index"]] = {
                "id": _id("fc"),
                "type": "function_call",
                "call_id": call.get("id") or _id("call"),
                "name": function.get("name") or "",
                "arguments": "",
                "status": "in_progress",
            }
            yield from self._add(item)
        if written := function.get("arguments"):
            item["arguments"] += written
            at = self.response["output"].index(item)
            yield self._event(
                "function_call_arguments.delta", output_index=at, item_id=item["id"], delta=written
            )

    def _cite(self, evidence: Evidence) -> Iterator[bytes]:
        """Point from the text to the files, and tell in a key of our own all that is known of each passage."""
        part = self._message["content"][0] if self._message else {}
        if self._message is None or part["type"] != "output_text":
            return
        at = self.response["output"].index(self._message)
        for annotation in _file_citations(evidence):
            yield self._event(
                "output_text.annotation.added",
                output_index=at,
                content_index=0,
                item_id=self._message["id"],
                annotation_index=len(part["annotations"]),
                annotation=annotation,
            )
            part["annotations"].append(annotation)
        told = evidence.fields()
        part |= {name: told[name] for name in ("citations", "unverified", "uncited")}

    # Items

    def _add(self, item: Item) -> Generator[bytes, None, int]:
        """A new item; the generator's value is its place in the output."""
        self.response["output"].append(item)
        at = len(self.response["output"]) - 1
        yield self._event("output_item.added", output_index=at, item=item)
        return at

    def _open(self, item: Item, part: Item) -> Generator[bytes, None, Item]:
        """A new item that consists of one part, which is empty yet; the generator's value is the item."""
        at = yield from self._add(item)
        yield self._event(
            "content_part.added", output_index=at, content_index=0, item_id=item["id"], part=part
        )
        item["content"].append(part)
        return item

    def _write(self, item: Item, text: str) -> Iterator[bytes]:
        (part,) = item["content"]
        part[_TEXT_OF[part["type"]]] += text
        yield self._part_event("delta", item, delta=text)

    def _thought(self) -> Iterator[bytes]:
        """Thinking ends where something else begins."""
        if self._reasoning is not None:
            item, self._reasoning = self._reasoning, None
            yield from self._finish(item, "completed")

    def _close(self, status: str) -> Iterator[bytes]:
        yield from self._thought()
        for item in self.response["output"]:
            if item["status"] == "in_progress":
                yield from self._finish(item, status)

    def _finish(self, item: Item, status: str) -> Iterator[bytes]:
        at = self.response["output"].index(item)
        for part in item.get("content", ()):
            key = _TEXT_OF[part["type"]]
            yield self._part_event("done", item, **{key: part[key]})
            yield self._event(
                "content_part.done", output_index=at, content_index=0, item_id=item["id"], part=part
            )
        if item["type"] == "function_call":
            told = {name: item[name] for name in ("name", "arguments")}
            yield self._event("function_call_arguments.done", output_index=at, item_id=item["id"], **told)
        item["status"] = status
        yield self._event("output_item.done", output_index=at, item=item)

    def _part_event(self, step: str, item: Item, **told: Any) -> bytes:
        (part,) = item["content"]
        more: Item = {"logprobs": []} if part["type"] == "output_text" else {}
        at = self.response["output"].index(item)
        return self._event(
            f"{part['type']}.{step}", output_index=at, content_index=0, item_id=item["id"], **told, **more
        )

    def _event(self, kind: str, **told: Any) -> bytes:
        kind, number = f"response.{kind}", self._number
        self._number += 1
        return b"event: %s\n" % kind.encode() + data({"type": kind, "sequence_number": number, **told})


def _file_citations(evidence: Evidence) -> Iterable[dict[str, Any]]:
    files = {each.marker: each for each in evidence.citations}
    for pointer in evidence.pointers:
        cited = files[pointer.marker]
        yield {
            "type": "file_citation",
            "index": pointer.start,
            "file_id": cited.file_id,
            "filename": cited.filename,
            "marker": pointer.marker,
            "title": pointer.title,
            "url": pointer.url,
        }


def _result(hit: Hit, attributes: dict[str, Any]) -> dict[str, Any]:
    passage = hit.passage
    return {
        "file_id": passage.file_id,
        "filename": passage.filename,
        "score": round(hit.score, 4),
        "text": passage.text,
        "attributes": attributes,
    }


def _usage(counted: Mapping[str, Any]) -> dict[str, Any]:
    """A completion's usage by the names of a response."""
    prompt, answer = (counted.get(f"{name}_tokens") or 0 for name in ("prompt", "completion"))
    cached = (counted.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
    thought = (counted.get("completion_tokens_details") or {}).get("reasoning_tokens") or 0
    return {
        "input_tokens": prompt,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": answer,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": prompt + answer,
    }


def _id(prefix: str) -> str:
    return f"{prefix}_{uuid.uuid4().hex}"
