"""What a passage found leaves open is shown beside it: the rest of a long article, and the articles that it refers to."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import anyio
import httpx
import pytest

from rag.answer.neighbours import neighbours
from rag.answer.statutes import preceding
from rag.passages import Hit, Passage
from tests.fakes.vllm import VLLM
from tests.rag.answer.asking import ASKER, TOOL
from tests.rag.answer.corpus import Corpus, articles
from tests.rag.answer.serving import Answering

PENALTY = "第九十条 用人单位违反本法第四十一条规定，延长劳动者工作时间的，由劳动行政部门给予警告，责令改正，并可以处以罚款。"
QUESTION = "用人单位违反规定延长劳动者工作时间，由劳动行政部门怎么处以罚款？"


def article(number: int, name: str, text: str, start: int, **other: Any) -> Passage:
    return replace(
        articles()[0], id=number, article=name, text=text, start=start, end=start + len(text), **other
    )


def penalty(text: str = PENALTY) -> Passage:
    return article(90, "第九十条", text, 5_000)


def beside(passages: list[Passage], best: Passage, elsewhere: tuple[str, ...] = ()) -> list[str]:
    hits = [Hit(best, 0.9), Hit(articles()[3], 0.5)]
    found = anyio.run(neighbours, hits, Corpus([*passages, best]), elsewhere)
    assert all(each.score == 0.5 for each in found)
    return [each.passage.text[:12] for each in found]


def test_the_articles_that_a_passage_refers_to_come_beside_it() -> None:
    assert beside(articles(), penalty()) == [articles()[1].text[:12]]
    before = article(91, "第四十二条", "第四十二条 有前条规定的情形，依照前条。", 3_000)
    assert beside(articles(), before) == [articles()[1].text[:12]]
    assert beside(articles(), penalty("第九十条 前条件不成就的，依照合同。")) == []


def test_the_rest_of_a_long_article_comes_nearest_first() -> None:
    parts = [
        article(100 + at, "第四十四条", f"第{at}部分的文字，写得很长。", 4_000 + 100 * at, clause=f"第{at}款")
        for at in range(5)
    ]
    others = [each for each in parts if each is not parts[2]]
    found = beside(others, parts[2])
    assert found == [parts[at].text[:12] for at in (1, 3, 0, 4)]


def test_another_file_s_article_of_that_number_is_none() -> None:
    other = [replace(each, file_id="file-other", id=each.id + 200) for each in articles()]
    assert beside(other, penalty()) == []


def test_another_law_is_looked_up_only_where_it_may_be() -> None:
    civil = article(
        300, "第一千一百七十九条", "第一千一百七十九条 侵害他人", 0, law="民法典", file_id="file-civil"
    )
    best = penalty("第九十条 造成损害的，依照《民法典》第一千一百七十九条赔偿。")
    assert beside([civil], best) == []
    assert beside([civil], best, ("vs_labour",)) == [civil.text[:12]]


def test_what_stands_before_an_article_is_told_by_its_number() -> None:
    assert preceding("第四十四条", 2) == ["第四十三条", "第四十二条"]
    assert preceding("第一百二十条之二", 2) == ["第一百二十条之一", "第一百二十条"]
    assert preceding("第一条", 1) == []


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[VLLM, Answering]]:
    corpus = Corpus([*articles(), penalty()])
    with (
        VLLM("qwen", max_model_len=8192) as engine,
        Answering(tmp_path_factory.mktemp("rag"), engine.url, corpus) as route,
    ):
        yield engine, route


def respond(served: tuple[VLLM, Answering], **tool: Any) -> tuple[str, dict[str, Any]]:
    """The prompt that the model saw, and the response."""
    engine, route = served
    asked = {
        "model": "qwen", "input": QUESTION, "tools": [TOOL | tool], "include": ["file_search_call.results"],
    }  # fmt: skip
    reply = httpx.post(f"{route.url}/responses", json=asked, headers=ASKER, timeout=60)
    assert reply.status_code == 200, reply.text
    return engine.asked[-1].json["messages"][0]["content"], reply.json()


def test_a_neighbour_has_a_marker_of_its_own_and_is_no_result(served: tuple[VLLM, Answering]) -> None:
    served[0].says = ("因特殊原因需要延长工作时间的，每月不得超过三十六小时[2]。",)
    prompt, response = respond(served, max_num_results=1)
    assert "[1] 《劳动法》第九十条" in prompt
    assert "[2] 《劳动法》第四十一条" in prompt
    search, message = response["output"]
    assert [each["attributes"]["article"] for each in search["results"]] == ["第九十条"]
    (citation,) = message["content"][0]["citations"]
    assert (citation["marker"], citation["article"], citation["verified"]) == (2, "第四十一条", True)


def test_a_filter_on_articles_leaves_no_neighbours(served: tuple[VLLM, Answering]) -> None:
    prompt, _ = respond(served, filters={"type": "eq", "key": "article", "value": "第九十条"})
    assert "[2]" not in prompt
