"""The gateway's own HTTP client and event reader: every way of cutting the bytes gives the same result."""

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.proxy.call import Call, parse
from gateway.proxy.events import EventStream, Rename, tokens
from praxis.errors import InvalidRequest

STREAM = (
    b": keep-alive\n\n"
    b'data: {"id":"1","model":"up@1","choices":[{"delta":{"content":"\xe5\x8a\xb3\xe5\x8a\xa8 \\"model\\":\\"up@1\\""}}]}\n\n'
    b'data: {"id":"1", "model": "up@1", "choices": [{"delta": {"content": "a\\n\\ndata: [DONE]"}}]}\r\n\r\n'
    b"data: {broken\n\n"
    b'data: {"id":"1","model":"up@1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n'
    b"data: [DONE]\n\n"
)


def through(pieces: list[bytes], *, keep_usage: bool) -> tuple[bytes, EventStream]:
    """All that passes when the stream arrives in `pieces`."""
    events = EventStream(Rename("up@1", "法律"), keep_usage=keep_usage)
    return b"".join(events.feed(piece) for piece in pieces), events


@pytest.mark.parametrize("keep_usage", [True, False])
def test_every_split_in_two_gives_the_same(keep_usage: bool) -> None:
    whole, _ = through([STREAM], keep_usage=keep_usage)
    assert whole.count('"法律"'.encode()) == (3 if keep_usage else 2)
    assert (b'"usage"' in whole) is keep_usage
    assert whole.endswith(b"data: [DONE]\n\n")
    for cut in range(len(STREAM) + 1):
        passed, events = through([STREAM[:cut], STREAM[cut:]], keep_usage=keep_usage)
        assert passed == whole
        assert events.done
        assert events.usage == (7, 3)


@given(st.lists(st.integers(0, len(STREAM)), max_size=40))
def test_any_split_gives_the_same(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    pieces = [STREAM[start:end] for start, end in pairwise(edges)]
    assert through(pieces, keep_usage=True)[0] == through([STREAM], keep_usage=True)[0]


@pytest.mark.parametrize(
    "spelling", [b'data: {"error":{"message":"m","code":500}}', b'data: { "error" : "m" }']
)
def test_an_error_event_ends_what_passes(spelling: bytes) -> None:
    before = b'data: {"model":"up@1","choices":[{}]}\n\n'
    passed, events = through([before + spelling + b"\n\ndata: [DONE]\n\n"], keep_usage=True)
    assert passed.count(b"data:") == 1
    assert events.error
    assert not events.done


def test_a_word_in_the_text_is_no_error() -> None:
    event = b'data: {"model":"x","choices":[{"delta":{"content":"\\"error\\": 1"}}],"error":null}\n\n'
    passed, events = through([event], keep_usage=True)
    assert passed == event
    assert events.error is None


def test_tokens_are_read_from_a_reply() -> None:
    assert tokens(b'{"usage": {"prompt_tokens": 12, "total_tokens": 20, "completion_tokens": 8}}') == (12, 8)
    assert tokens(b'{"usage":{"prompt_tokens":5,"total_tokens":5}}') == (5, 0)
    assert tokens(b"{}") is None


# The request's body


def sent(raw: bytes, model: str = "up", **defaults: Any) -> bytes:
    return parse(raw).for_upstream(model, defaults, count_tokens=True)


def test_a_body_that_needs_no_edit_keeps_its_bytes() -> None:
    raw = b'{ "model" : "law",\n "messages": [], "x": 1.0e3 }'
    assert sent(raw, "law") == raw
    assert sent(raw, "up") == raw.replace(b'"law"', b'"up"')


@pytest.mark.parametrize(
    "raw",
    [
        b'{"messages":[{"content":"\\"model\\": \\"law\\""}],"model":"law"}',
        b'{"tools":[{"model":"law"}],"model":"law"}',
        b'{"mod\\u0065l":"law","n":1}',
        b'{"model":"other","model":"law"}',
        b'{"model":"law","stream":true,"temperature":null}',
        b'{"model":"law","stream":true,"stream_options":{"x":1}}',
        b'{"model":"law"}',
    ],
)
def test_edits_change_what_they_must_and_nothing_else(raw: bytes) -> None:
    asked, received = orjson.loads(raw), orjson.loads(sent(raw, "up", temperature=0.5))
    assert received.pop("model") == "up"
    assert received.pop("temperature") == 0.5
    if asked.get("stream"):
        assert received.pop("stream_options")["include_usage"] is True
    for untouched in set(asked) - {"model", "temperature", "stream_options"}:
        assert received.pop(untouched) == asked[untouched]
    assert received == {}


@given(
    st.dictionaries(
        st.text(max_size=8), st.recursive(st.none() | st.booleans() | st.text(), st.lists), max_size=5
    ),
    st.text(min_size=1, max_size=8),
)
def test_any_body_reaches_the_engine_with_only_its_model_changed(extra: dict[str, Any], name: str) -> None:
    extra = {key: value for key, value in extra.items() if key not in ("model", "stream", "stream_options")}
    raw = orjson.dumps(extra | {"model": name})
    received = orjson.loads(sent(raw, "engine's"))
    assert received == extra | {"model": "engine's"}


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b"{}",
        b'{"model":1}',
        b'{"model":""}',
        b'{"model":"m","stream":"yes"}',
        b"\xff",
    ],
)
def test_a_body_that_names_no_model_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidRequest):
        parse(raw)


def test_file_search_is_seen_among_tools() -> None:
    call: Call = parse(b'{"model":"m","tools":[null,{"type":"file_search","vector_store_ids":["vs_1"]}]}')
    assert call.file_search
    assert not parse(b'{"model":"m","tools":[{"type":"function"}]}').file_search
