"""Thinking apart from the answer: under the field names that a model's clients read, and out of the text.

Both engines name the field `reasoning`; many clients know only `reasoning_content`. And an engine without a reasoning
parser leaves `<think>…</think>` in the text. `models.*.thinking` says what is wanted; a model without it never comes
here, and its bytes pass as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

import orjson

from gateway.proxy.call import Call
from gateway.proxy.edit import Both, Edit, Editor
from gateway.proxy.events import data_of, with_data
from praxis.config import Thinking

HOLD = 32 * 1024
"""Characters that wait for the first tag where nobody said whether a reply begins inside a block."""

MOST = 16 * 1024 * 1024
"""Bytes of a plain reply that are edited whole."""

_NAMES = ("reasoning", "reasoning_content")
_OPEN, _CLOSE = "<think>", "</think>"
_TAG = re.compile(f"{_OPEN}|{_CLOSE}")
_PARTIAL = re.compile(r"</?(?:t(?:h(?:i(?:nk?)?)?)?)?\Z")
_NULL = b'"reasoning":null'

Parts = tuple[str, str]
"""Thinking and answer."""


class Place(Enum):
    UNKNOWN = auto()
    INSIDE = auto()
    OUTSIDE = auto()


class Lift:
    """Splits the text of one choice, however it is cut into pieces, into thinking and answer.

    The tags go; the thinking loses the whitespace around it, and an answer that follows thinking the whitespace
    before it. `<think>` inside a block and `</think>` outside of one are dropped, as vLLM's own parsers do.
    """

    __slots__ = ("_answered", "_gap", "_held", "_lifted", "_place", "_space", "_thought", "over")

    def __init__(self, opened: bool | None) -> None:
        """`opened`: whether the reply begins inside a block; None waits for the first tag to tell."""
        self._place = {True: Place.INSIDE, False: Place.OUTSIDE, None: Place.UNKNOWN}[opened]
        self._held = ""
        self._gap = ""
        self._space = ""
        self._lifted = opened is True
        self._thought = False
        self._answered = False
        self.over = False

    @property
    def quiet(self) -> bool:
        """Whether text without a `<` is answer and nothing else."""
        return self.over or (self._place is Place.OUTSIDE and self._answered and not self._held)

    def feed(self, text: str) -> Parts:
        """The thinking and the answer that `text` completes."""
        seam = max(0, len(self._held) - len(_CLOSE) + 1)
        self._held += text
        thinking, answer = "", ""
        while found := _TAG.search(self._held, seam):
            opens = found[0] == _OPEN
            if self._place is Place.UNKNOWN:
                self._place = Place.OUTSIDE if opens else Place.INSIDE
            thought, said = self._put(self._held[: found.start()])
            thinking, answer = thinking + thought, answer + said
            self._held, seam = self._held[found.end() :], 0
            self._place = Place.INSIDE if opens else Place.OUTSIDE
            self._lifted = True
        if self._place is Place.UNKNOWN:
            if len(self._held) <= HOLD:
                return "", ""
            self._place = Place.OUTSIDE
        partial = _PARTIAL.search(self._held)
        end = partial.start() if partial else len(self._held)
        thought, said = self._put(self._held[:end])
        self._held = self._held[end:]
        return thinking + thought, answer + said

    def end(self) -> Parts:
        """What was held, now that nothing follows which could decide otherwise."""
        if self._place is Place.UNKNOWN:
            self._place = Place.OUTSIDE
        thinking, answer = self._put(self._held)
        if self._place is Place.OUTSIDE and not self._lifted and not self._answered:
            answer = self._space
        self._held = ""
        self.over = True
        return thinking, answer

    def _put(self, text: str) -> Parts:
        """`text` where it belongs, less the whitespace that may turn out to surround the thinking."""
        if self._place is Place.INSIDE:
            return self._think(text), ""
        if self._answered:
            return "", text
        text = self._space + text
        stripped = text.lstrip()
        self._answered = bool(stripped)
        self._space = "" if stripped else text
        if not stripped:
            return "", ""
        return "", stripped if self._lifted else text

    def _think(self, text: str) -> str:
        text = self._gap + text if self._thought else text.lstrip()
        stripped = text.rstrip()
        self._gap = text[len(stripped) :]
        self._thought = self._thought or bool(stripped)
        return stripped


def editor(wanted: Thinking | None, defaults: Mapping[str, Any], engine: Editor | None) -> Editor | None:
    """What makes the edits of a model's replies: the engine's own, and that of the thinking."""
    if wanted is None:
        return engine

    def edit(path: str, call: Call) -> Edit | None:
        names = engine(path, call) if engine is not None else None
        if path != "/v1/chat/completions":
            return names
        thinking = ThinkingEdit(wanted, call, defaults)
        return thinking if names is None else Both(names, thinking)

    return edit


class ThinkingEdit:
    """Puts a reply's thinking where it is wanted (an `Edit`)."""

    most = MOST

    def __init__(self, wanted: Thinking, call: Call, defaults: Mapping[str, Any]) -> None:
        self._names = _NAMES if wanted.field == "both" else (wanted.field,)
        self._null = b",".join(b'"%s":null' % name.encode() for name in self._names)
        self._lift = wanted.lift
        self._opened = False if _switched_off(call, defaults) else wanted.opened
        count = call.data.get("n")
        self._choices = count if isinstance(count, int) else 1
        self._lifts: dict[int, Lift] = {}
        self._quiet = not wanted.lift
        self._last: dict[str, Any] = {}

    def __call__(self, event: bytes) -> bytes:
        """`event` as the client gets it; empty when all that it says waits for what follows."""
        if self._quiet and not (self._lift and (b"<" in event or b"\\u003" in event)):
            named = event.count(b'"reasoning')
            if named == event.count(_NULL):
                return event.replace(_NULL, self._null) if named else event
        payload, choices = _read(data_of(event))
        edited = [self._edit(choice, "delta") for choice in choices]
        if self._lift:
            self._quiet = len(self._lifts) >= self._choices and all(map(_quiet, self._lifts.values()))
        if not any(edited):
            return event
        self._last = payload
        if all(edited) and not payload.get("usage") and not any(map(_says_something, choices)):
            return b""
        return with_data(event, orjson.dumps(payload))

    def flush(self) -> bytes:
        """What is still held, as events of its own: for a stream that ends without a reason to finish."""
        head = {key: value for key, value in self._last.items() if key not in ("choices", "usage")}
        events = []
        for index, lift in self._lifts.items():
            delta: dict[str, Any] = {}
            self._say(delta, *lift.end())
            if delta:
                choice = {"index": index, "delta": delta, "finish_reason": None}
                events.append(b"data: " + orjson.dumps(head | {"choices": [choice]}) + b"\n\n")
        return b"".join(events)

    def whole(self, body: bytes) -> bytes:
        """The body of a plain reply; the same bytes where nothing is to be edited."""
        if b'"reasoning' not in body and not (self._lift and (self._opened or b"think" in body)):
            return body
        payload, choices = _read(body)
        edited = [self._edit(choice, "message") for choice in choices]
        return orjson.dumps(payload) if any(edited) else body

    def _edit(self, choice: Any, part: str) -> bool:
        """Edit one choice in place; whether anything changed."""
        said = choice.get(part) if isinstance(choice, dict) else None
        if not isinstance(said, dict):
            return False
        before = dict(said)
        given = [said.pop(name) for name in _NAMES if name in said]
        thinking = next((each for each in given if each is not None), None)
        if given:
            said.update(dict.fromkeys(self._names, thinking))
        if self._lift:
            index = choice.get("index")
            lift = self._lifts.setdefault(index if isinstance(index, int) else 0, Lift(self._opened))
            last = part == "message" or choice.get("finish_reason") is not None
            # An engine that parts the two itself has left no tags but those that the answer is about.
            self._lift_out(lift, said, before=bool(thinking), after=last or bool(said.get("tool_calls")))
            if part == "delta" and before.get("content") and not said["content"]:
                del said["content"]
        return said != before

    def _lift_out(self, lift: Lift, said: dict[str, Any], *, before: bool, after: bool) -> None:
        """Part what `said` says, and all that was held `before` or `after` it when that settles the matter."""
        thinking, answer = lift.end() if before and not lift.over else ("", "")
        text = said.get("content")
        if isinstance(text, str) and text:
            thought, rest = ("", text) if lift.over else lift.feed(text)
            thinking, answer = thinking + thought, answer + rest
            said["content"] = ""
        if after and not lift.over:
            thought, rest = lift.end()
            thinking, answer = thinking + thought, answer + rest
        self._say(said, thinking, answer)

    def _say(self, said: dict[str, Any], thinking: str, answer: str) -> None:
        if thinking:
            together = (next((said[name] for name in self._names if said.get(name)), "")) + thinking
            said.update(dict.fromkeys(self._names, together))
        if answer:
            said["content"] = answer


def _read(data: bytes) -> tuple[dict[str, Any], list[Any]]:
    """A reply's or an event's object and its choices; both empty when it is none."""
    try:
        payload = orjson.loads(data)
    except orjson.JSONDecodeError:
        return {}, []
    choices = payload.get("choices") if isinstance(payload, dict) else None
    return (payload, choices) if isinstance(choices, list) else ({}, [])


def _says_something(choice: Any) -> bool:
    said = choice["delta"].values()
    return any(said) or any(
        value is not None for key, value in choice.items() if key not in ("index", "delta")
    )


def _quiet(lift: Lift) -> bool:
    return lift.quiet


def _switched_off(call: Call, defaults: Mapping[str, Any]) -> bool:
    """Whether the request, or the model's defaults, turn thinking off by the switches that templates know."""

    def asked(name: str) -> Any:
        given = call.data.get(name)
        return defaults.get(name) if given is None else given

    switches = asked("chat_template_kwargs")
    if isinstance(switches, dict) and False in (switches.get("enable_thinking"), switches.get("thinking")):
        return True
    return bool(asked("reasoning_effort") == "none")
