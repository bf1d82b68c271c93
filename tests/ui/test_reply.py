"""An answer read in the background: its phases, its end, and what breaks it."""

import threading
from collections.abc import Sequence

import pytest

from tests.fakes import gateway as fake
from tests.fakes.gateway import ARTICLE, QUOTE, FakeGateway, citation
from tests.processes import eventually
from ui.client import Gateway, Question
from ui.reply import Phase, Reply, split_thinking

KEY = "sk-praxis-test"


def ask(gateway: FakeGateway, model: str, stores: Sequence[str] = ()) -> Reply:
    reply = Reply(grounded=bool(stores) or model == "labour-law")
    reply.start(Gateway(gateway.url, KEY), Question(model, [{"role": "user", "content": "问"}], stores))
    return reply


def ended(reply: Reply) -> Reply:
    eventually(lambda: not reply.running, "the answer ends", within=60)
    return reply


@pytest.mark.parametrize(
    ("content", "thinking", "answer"),
    [
        ("直接回答", "", "直接回答"),
        ("<think>想</think>答", "想", "答"),
        ("\n<think>\n想\n</think>\n\n答", "想", "答"),
        ("<think>还在想", "还在想", ""),
        ("<thi", "", ""),
        ("想了\n</think>答", "想了", "答"),
        ("a < b", "", "a < b"),
        ("", "", ""),
    ],
)
def test_thinking_is_told_from_the_answer(content: str, thinking: str, answer: str) -> None:
    assert split_thinking(content) == (thinking, answer)


def test_no_beginning_of_a_reply_shows_thinking_as_answer() -> None:
    content = "<think>先看条文</think>应当支付"
    for length in range(len(content)):
        assert not split_thinking(content[:length])[1].startswith(("<", "先"))


def test_an_answer_has_text_thinking_figures_and_sources(gateway: FakeGateway) -> None:
    gateway.replies["labour-law"] = fake.Reply(
        pieces=["应当", "支付[1]。"],
        thinking=["先想"],
        citations=[citation()],
        unverified=[{"law": "劳动法", "article": "第九百条", "nearest": "第九十条"}],
    )
    reply = ended(ask(gateway, "labour-law"))
    assert (reply.phase, reply.text, reply.thinking, reply.error) == (
        Phase.DONE,
        "应当支付[1]。",
        "先想",
        None,
    )
    assert reply.usage is not None
    assert reply.usage.completion == 2
    assert reply.to_first is not None
    assert 0 <= reply.to_first <= reply.elapsed
    assert reply.citations is not None
    assert [(one.marker, one.article, one.verified) for one in reply.citations] == [(1, "第四十四条", True)]
    assert reply.passages[1].text == ARTICLE
    assert [run for run, marked in reply.passages[1].runs if marked] == [QUOTE]
    assert [(item.article, item.nearest) for item in reply.unverified] == [("第九百条", "第九十条")]


def test_a_passage_that_cannot_be_read_leaves_the_citation(gateway: FakeGateway) -> None:
    gateway.passages.clear()
    gateway.replies["labour-law"] = fake.Reply(citations=[citation()])
    reply = ended(ask(gateway, "labour-law"))
    assert reply.phase is Phase.DONE
    assert reply.citations
    assert reply.passages == {}


def test_stopping_keeps_what_came_and_ends_the_request(gateway: FakeGateway) -> None:
    gateway.replies["labour-law"] = fake.Reply(pieces=["前半", "后半"], stall=threading.Event())
    reply = ask(gateway, "labour-law")
    eventually(lambda: reply.text, "the first words come")
    reply.stop()
    assert ended(reply).phase is Phase.STOPPED
    assert reply.text == "前半"
    eventually(lambda: gateway.chat_of("labour-law").cancelled, "the gateway hears of it")


def test_a_stream_that_ends_in_an_error_says_so_and_keeps_its_text(gateway: FakeGateway) -> None:
    error = {"message": "The engine broke off.", "type": "upstream_error", "param": None, "code": None}
    gateway.replies["qwen2.5-0.5b"] = fake.Reply(pieces=["一", "二"], break_after=1, error=error)
    reply = ended(ask(gateway, "qwen2.5-0.5b"))
    assert (reply.phase, reply.text) == (Phase.FAILED, "一")
    assert reply.error is not None
    assert (reply.error.kind, reply.error.detail) == ("upstream_error", "The engine broke off.")


def test_a_stream_without_its_end_mark_is_no_success(gateway: FakeGateway) -> None:
    gateway.replies["qwen2.5-0.5b"] = fake.Reply(pieces=["一", "二"], break_after=1)
    reply = ended(ask(gateway, "qwen2.5-0.5b"))
    assert reply.phase is Phase.FAILED
    assert reply.error is not None
    assert reply.error.kind == "broken_reply"


def test_a_refusal_and_an_absent_gateway_are_told_apart(gateway: FakeGateway) -> None:
    error = {
        "message": "No model `x`.",
        "type": "not_found_error",
        "param": "model",
        "code": "model_not_found",
    }
    gateway.replies["x"] = fake.Reply(status=404, error=error)
    refused = ended(ask(gateway, "x"))
    assert refused.error is not None
    assert (refused.error.kind, refused.error.status) == ("model_not_found", 404)
    gateway.stop()
    try:
        lost = ended(ask(gateway, "x"))
    finally:
        gateway.start()
    assert lost.error is not None
    assert lost.error.kind == "unreachable"


def test_documents_are_searched_by_the_file_search_tool(gateway: FakeGateway) -> None:
    ended(ask(gateway, "qwen2.5-0.5b", ["vs_1", "vs_2"]))
    assert gateway.chats[-1].body["tools"] == [{"type": "file_search", "vector_store_ids": ["vs_1", "vs_2"]}]
