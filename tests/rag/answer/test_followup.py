"""A follow-up question is searched for as what it means, and answered as it was asked; a first one is never rewritten."""

from typing import Any

import httpx
import pytest

from tests.fakes.faults import silent, status
from tests.fakes.vllm import VLLM
from tests.rag.answer.asking import ASKER, TOOL
from tests.rag.answer.corpus import Corpus
from tests.rag.answer.serving import Answering

FIRST = "法定休假日加班，工资报酬怎么支付？"
FOLLOWING = "那休息日呢？"
REWRITTEN = "休息日加班，工资报酬怎么支付？"
HISTORY = [
    {"role": "user", "content": FIRST},
    {"role": "assistant", "content": "不低于工资的百分之三百[3]。"},
]
ASKED = [*HISTORY, {"role": "user", "content": FOLLOWING}]
PLAIN = f"{FIRST}\n{FOLLOWING}"


def chat(answering: Answering, messages: list[dict[str, str]], **body: Any) -> httpx.Response:
    asked = {"model": "labour", "messages": messages} | body
    reply = httpx.post(f"{answering.url}/chat/completions", json=asked, headers=ASKER, timeout=60)
    assert reply.status_code == 200, reply.text
    return reply


def test_a_follow_up_is_searched_for_as_what_it_means(
    answering: Answering, engine: VLLM, corpus: Corpus
) -> None:
    engine.next_says.append(("改写后的问题：", REWRITTEN))
    chat(answering, ASKED, temperature=0.7)
    rewriting, answer = (request.json for request in engine.asked)
    assert corpus.asked == [REWRITTEN]
    assert rewriting["model"] == "qwen"
    assert (rewriting["temperature"], rewriting["max_tokens"]) == (0, 96)
    assert FIRST in rewriting["messages"][-1]["content"]
    assert "[3]" not in rewriting["messages"][-1]["content"]
    assert engine.asked[0].header("x-praxis-key") == "key_1"
    # What is answered is the question itself.
    assert answer["messages"][-1] == {"role": "user", "content": FOLLOWING}
    assert answer["temperature"] == 0.7


def test_the_first_question_is_never_rewritten(answering: Answering, engine: VLLM, corpus: Corpus) -> None:
    chat(answering, [{"role": "system", "content": "简短。"}, {"role": "user", "content": FIRST}])
    assert corpus.asked == [FIRST]
    assert len(engine.asked) == 1


@pytest.mark.parametrize(
    "question",
    [
        "劳动法第四十四条怎么规定？",
        "《劳动法》第44条呢？",
        "劳动法 44 条",
        "What does Article 44 of the Labour Law say?",
    ],
)
def test_an_article_named_with_its_law_is_looked_up_as_it_is(
    answering: Answering, engine: VLLM, corpus: Corpus, question: str
) -> None:
    chat(answering, [*HISTORY, {"role": "user", "content": question}])
    assert corpus.asked == [question]
    assert len(engine.asked) == 1


@pytest.mark.parametrize(
    "says",
    [
        ("",),
        ("休息日加班的工资报酬怎么支付？",) * 20,
        ("第一行\n", "第二行"),
        ("根据《假法》第九条，休息日加班，工资报酬怎么支付？",),
        ("今天天气很好，适合出门散步和野餐。",),
        ("<think>用户想问休息日", "加班"),
    ],
    ids=["empty", "too-long", "two-lines", "invented-law", "something-else", "only-thought"],
)
def test_what_cannot_be_the_question_is_not_believed(
    answering: Answering, engine: VLLM, corpus: Corpus, says: tuple[str, ...]
) -> None:
    engine.next_says.append(says)
    chat(answering, ASKED)
    assert corpus.asked == [PLAIN]


def test_thinking_before_it_is_left_out(answering: Answering, engine: VLLM, corpus: Corpus) -> None:
    engine.next_says.append(("<think>用户想问休息日</think>\n\n", f"「{REWRITTEN}」"))
    chat(answering, ASKED, chat_template_kwargs={"enable_thinking": False})
    assert corpus.asked == [REWRITTEN]
    assert engine.asked[0].json["chat_template_kwargs"] == {"enable_thinking": False}


def test_a_model_that_refuses_leaves_the_last_questions(
    answering: Answering, engine: VLLM, corpus: Corpus
) -> None:
    engine.script.next(status(400, "No."))
    chat(answering, ASKED)
    assert corpus.asked == [PLAIN]


def test_a_model_that_is_too_slow_is_not_waited_for(
    answering: Answering, engine: VLLM, corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rag.answer.followup.SECONDS", 0.5)
    engine.script.next(silent())
    chat(answering, ASKED)
    assert corpus.asked == [PLAIN]


def test_it_can_be_switched_off(answering: Answering, engine: VLLM, corpus: Corpus) -> None:
    chat(answering, ASKED, model="literal")
    chat(answering, ASKED, model="qwen", tools=[TOOL | {"rewrite_query": False}])
    assert corpus.asked == [FOLLOWING, FOLLOWING]
    assert len(engine.asked) == 2


def test_file_search_and_responses_follow_too(answering: Answering, engine: VLLM, corpus: Corpus) -> None:
    engine.next_says.append((REWRITTEN,))
    chat(answering, ASKED, model="qwen", tools=[TOOL])
    engine.next_says.append((REWRITTEN,))
    asked = {"model": "labour", "input": ASKED}
    reply = httpx.post(f"{answering.url}/responses", json=asked, headers=ASKER, timeout=60).json()
    assert corpus.asked == [REWRITTEN, REWRITTEN]
    assert reply["output"][0]["queries"] == [REWRITTEN]
