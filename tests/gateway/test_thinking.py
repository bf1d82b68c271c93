"""Thinking goes where the model's configuration says, however its text is cut into events; bytes without one pass."""

import json
import re
from typing import Any, Literal

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.proxy.call import Call, parse
from gateway.proxy.events import EventStream, Rename
from gateway.proxy.thinking import HOLD, ThinkingEdit
from praxis.config import Thinking
from tests.fakes.faults import sse

Field = Literal["reasoning", "reasoning_content", "both"]

LIFT = Thinking(field="reasoning_content", lift=True)


def asked(**fields: Any) -> Call:
    return parse(orjson.dumps({"model": "law", **fields}))


def parted(text: str, opened: bool | None = None) -> tuple[str, str]:
    """Thinking and answer of a whole text, said plainly: what the edit must come to however the text is cut."""
    tags = re.findall("</?think>", text)
    inside = opened if opened is not None else tags[:1] == ["</think>"]
    lifted = bool(opened)
    thinking = answer = ""
    for piece in re.split("(</?think>)", text):
        if piece in ("<think>", "</think>"):
            inside, lifted = piece == "<think>", True
        elif inside:
            thinking += piece
        elif answer.strip() or not lifted:
            answer += piece
        else:
            answer = (answer + piece).lstrip()
        if lifted and not answer.strip():
            answer = ""
    return thinking.strip(), answer


def chunk(index: int = 0, reason: str | None = None, **delta: Any) -> bytes:
    return sse(
        {"id": "c", "model": "m", "choices": [{"index": index, "delta": delta, "finish_reason": reason}]}
    )


def told(events: bytes) -> dict[int, dict[str, Any]]:
    """Every choice's message, put together from its deltas as a client does."""
    messages: dict[int, dict[str, Any]] = {}
    for event in events.removesuffix(b"\n\n").split(b"\n\n") if events else ():
        payload = json.loads(event.removeprefix(b"data: "))
        assert payload["id"] == "c"
        for choice in payload["choices"]:
            message = messages.setdefault(choice["index"], {})
            for key, value in choice["delta"].items():
                if value is not None:
                    message[key] = message.get(key, "") + value if isinstance(value, str) else value
            if choice["finish_reason"]:
                assert "finish_reason" not in message
                message["finish_reason"] = choice["finish_reason"]
    return messages


def streamed(pieces: list[str], opened: bool | None = None, *, finish: bool = True) -> tuple[str, str]:
    """Thinking and answer of a stream whose content comes in these pieces."""
    edit = ThinkingEdit(Thinking(field="reasoning_content", lift=True, opened=opened), asked(), {})
    passed = edit(chunk(role="assistant", content=""))
    passed += b"".join(edit(chunk(content=piece)) for piece in pieces)
    passed += edit(chunk(reason="stop")) if finish else edit.flush()
    message = told(passed)[0]
    assert message["role"] == "assistant"
    return message.get("reasoning_content") or "", message.get("content") or ""


TEXTS = [
    "<think>\nLet me see.\n</think>\n\nOvertime pays 150%.",
    "Let me see.</think>Overtime pays 150%.",
    "Sure. <think>hm</think> It pays <b>150%</b>.",
    "<think>cut off by the lim",
    "<think></think>\n\nNo thought at all.",
    "no tags, 1 < 2 and </b>, <thin>",
    "  \n no tags but space ",
    "<think>one</think>A<think> two </think>B",
    "<think>a<think>b</think>c</think>d",
    "<think>思考🙂</think>加班费",
    "half a tag at the end <thi",
    "inside </think",
    "",
]


@pytest.mark.parametrize("opened", [None, True, False])
@pytest.mark.parametrize("text", TEXTS)
def test_every_split_in_two_comes_to_the_same(text: str, opened: bool | None) -> None:
    for cut in range(len(text) + 1):
        assert streamed([text[:cut], text[cut:]], opened) == parted(text, opened)


@pytest.mark.parametrize("opened", [None, True, False])
@pytest.mark.parametrize("text", TEXTS)
def test_one_character_at_a_time_comes_to_the_same(text: str, opened: bool | None) -> None:
    assert streamed(list(text), opened) == parted(text, opened)
    assert streamed(list(text), opened, finish=False) == parted(text, opened)


PIECES = st.lists(
    st.sampled_from(["<think>", "</think>", "<", "think>", "</th", "ink>", " ", "\n", "a", "加"])
)


@given(PIECES, st.sampled_from([None, True, False]))
@example(["<think>", " ", "\n", "</think>", " ", "a"], None)
def test_any_pieces_come_to_what_the_whole_says(pieces: list[str], opened: bool | None) -> None:
    assert streamed(pieces, opened) == parted("".join(pieces), opened)


@given(PIECES, st.sampled_from([None, True, False]))
def test_a_plain_reply_says_what_a_stream_says(pieces: list[str], opened: bool | None) -> None:
    wanted = Thinking(field="reasoning_content", lift=True, opened=opened)
    message = {"role": "assistant", "content": "".join(pieces), "reasoning": None}
    body = orjson.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    edited = json.loads(ThinkingEdit(wanted, asked(), {}).whole(body))["choices"][0]["message"]
    assert (edited["reasoning_content"] or "", edited["content"]) == streamed(pieces, opened)
    assert "reasoning" not in edited


@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["<think>", "</think>", "</", "think>", "a", " b"]))
    )
)
def test_every_choice_thinks_for_itself(pieces: list[tuple[int, str]]) -> None:
    edit = ThinkingEdit(LIFT, asked(n=3), {})
    passed = b"".join(edit(chunk(index, role="assistant", content="")) for index in range(3))
    passed += b"".join(edit(chunk(index, content=piece)) for index, piece in pieces)
    passed += b"".join(edit(chunk(index, reason="stop")) for index in range(3))
    for index, message in told(passed).items():
        whole = "".join(piece for at, piece in pieces if at == index)
        assert (message.get("reasoning_content") or "", message.get("content") or "") == parted(whole)


RECORDED = b"".join(
    [
        b": keep-alive\n\n",
        chunk(role="assistant", content=""),
        *(
            chunk(content=piece)
            for piece in ("<thi", "nk>\n加", "班🙂", "</th", "ink>\n\n", "It", " pays", " <b>")
        ),
        chunk(reason="stop"),
        sse({"id": "c", "model": "m", "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3}}),
        b"data: [DONE]\n\n",
    ]
)


def test_every_split_of_a_stream_s_bytes_gives_the_same() -> None:
    def through(*pieces: bytes) -> bytes:
        edit = ThinkingEdit(Thinking(field="both", lift=True), asked(), {})
        events = EventStream(Rename("m", "law"), True, edit)
        passed = b"".join(events.feed(piece) for piece in pieces)
        assert events.done
        assert events.usage == (7, 3)
        return passed

    whole = through(RECORDED)
    message = told(whole.removeprefix(b": keep-alive\n\n").removesuffix(b"data: [DONE]\n\n"))[0]
    assert (message["reasoning"], message["reasoning_content"]) == ("加班🙂", "加班🙂")
    assert message["content"] == "It pays <b>"
    assert whole.count(b'"model":"law"') == whole.count(b'"id":"c"')
    for cut in range(len(RECORDED) + 1):
        assert through(RECORDED[:cut], RECORDED[cut:]) == whole
    assert through(*(RECORDED[at : at + 1] for at in range(len(RECORDED)))) == whole


def test_thinking_is_streamed_as_it_comes() -> None:
    edit = ThinkingEdit(LIFT, asked(), {})
    events = [
        edit(chunk(content=piece)) for piece in ("<think>", "Let", " me", "</think>", "\n", "It", " pays")
    ]
    deltas = [json.loads(event[6:])["choices"][0]["delta"] if event else {} for event in events]
    assert deltas == [
        {}, {"reasoning_content": "Let"}, {"reasoning_content": " me"}, {}, {}, {"content": "It"}, {"content": " pays"},
    ]  # fmt: skip
    assert events[-1] == chunk(content=" pays"), "an answer's own events pass as they are"


@pytest.mark.parametrize(
    ("switches", "defaults"),
    [
        ({"chat_template_kwargs": {"enable_thinking": False}}, {}),
        ({"chat_template_kwargs": {"thinking": False}}, {}),
        ({"reasoning_effort": "none"}, {}),
        ({}, {"chat_template_kwargs": {"enable_thinking": False}}),
    ],
)
@pytest.mark.parametrize("opened", [None, True])
def test_where_thinking_is_switched_off_the_answer_is_not_kept_waiting(
    switches: dict[str, Any], defaults: dict[str, Any], opened: bool | None
) -> None:
    edit = ThinkingEdit(Thinking(lift=True, opened=opened), asked(**switches), defaults)
    assert edit(chunk(content="It")) == chunk(content="It")


def test_what_waits_for_a_tag_is_bounded() -> None:
    edit = ThinkingEdit(LIFT, asked(), {})
    held = 0
    while not edit(chunk(content="word " * 100)):
        held += 500
        assert held <= HOLD
    assert edit(chunk(content="more")) == chunk(content="more")


def test_a_tool_call_ends_what_waits() -> None:
    edit = ThinkingEdit(LIFT, asked(), {})
    assert edit(chunk(content="I shall look.")) == b""
    call = {"index": 0, "id": "c1", "type": "function", "function": {"name": "look"}}
    delta = json.loads(edit(chunk(tool_calls=[call]))[6:])["choices"][0]["delta"]
    assert delta == {"tool_calls": [call], "content": "I shall look."}


def test_what_an_event_says_besides_is_never_lost() -> None:
    edit = ThinkingEdit(LIFT, asked(), {})
    event = {"choices": [{"index": 0, "delta": {"content": "<think>"}, "logprobs": {"content": [1]}}]}
    assert json.loads(edit(sse(event))[6:])["choices"][0]["logprobs"] == {"content": [1]}
    counted = {"choices": [{"index": 0, "delta": {"content": "hm"}}], "usage": {"completion_tokens": 2}}
    assert json.loads(edit(sse(counted))[6:])["usage"] == {"completion_tokens": 2}


def test_where_the_engine_parts_the_two_the_text_is_left_alone() -> None:
    edit = ThinkingEdit(LIFT, asked(), {})
    passed = b"".join(
        edit(each)
        for each in (
            chunk(role="assistant", content=""),
            chunk(content=None, reasoning="hm"),
            chunk(content="<think> is a tag", reasoning=None),
            chunk(reason="stop"),
        )
    )
    assert told(passed)[0] == {
        "role": "assistant", "reasoning_content": "hm", "content": "<think> is a tag", "finish_reason": "stop",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "names"),
    [("reasoning", ["reasoning"]), ("reasoning_content", ["reasoning_content"]),
     ("both", ["reasoning", "reasoning_content"])],
)  # fmt: skip
@pytest.mark.parametrize("given", [{"reasoning": "hm"}, {"reasoning_content": "hm"},
                                   {"reasoning": "hm", "reasoning_content": None}])  # fmt: skip
def test_the_field_has_the_names_that_the_model_is_configured_for(
    field: Field, names: list[str], given: dict[str, Any]
) -> None:
    edit = ThinkingEdit(Thinking(field=field), asked(), {})
    delta = json.loads(edit(chunk(content=None, **given))[6:])["choices"][0]["delta"]
    assert delta == {"content": None} | dict.fromkeys(names, "hm")
    message = {"content": "It pays.", **given}
    body = orjson.dumps({"choices": [{"index": 0, "message": message}], "usage": {}})
    edited = json.loads(edit.whole(body))
    assert edited["choices"][0]["message"] == {"content": "It pays."} | dict.fromkeys(names, "hm")
    assert edited["usage"] == {}
    null = json.loads(edit(chunk(content="x", reasoning=None))[6:])["choices"][0]["delta"]
    assert null == {"content": "x"} | dict.fromkeys(names)


@pytest.mark.parametrize(
    "event",
    [
        chunk(content="It pays."),
        chunk(content='"reasoning":null'),
        chunk(content='say "reasoning": "hm"'),
        chunk(reasoning="hm"),
        sse({"choices": [], "usage": {"completion_tokens_details": {"reasoning_tokens": 3}}}),
        b'data: {"reasoning" malformed\n\n',
        b'data: [1, "reasoning"]\n\n',
        b"data: null\n\n",
        b'data: {"choices":[null,{"index":0},{"delta":"reasoning"}]}\n\n',
        b"event: ping\n\n",
        b'data: {"choices":[{"delta":{"content":"\\u8d39 1.0e3"}}],"n":1.50}\n\n',
    ],
)
def test_what_needs_no_edit_keeps_its_bytes(event: bytes) -> None:
    assert ThinkingEdit(Thinking(), asked(), {})(event) == event


def test_the_rest_of_an_edited_event_stays() -> None:
    event = b'id: 7\r\ndata: {"choices":[{"index":0,\r\ndata: "delta":{"reasoning":"hm"}}]}\r\n\r\n'
    edited = ThinkingEdit(Thinking(field="reasoning_content"), asked(), {})(event)
    assert edited == b'id: 7\ndata: {"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}\n\n'


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"choices":3}', b'{"choices":[{"message":{"content":"x"}}]}']
)
def test_a_plain_reply_that_needs_no_edit_keeps_its_bytes(body: bytes) -> None:
    assert ThinkingEdit(LIFT, asked(), {}).whole(body) == body
