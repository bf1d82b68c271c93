"""Finding over HTTP: the sample statutes answer what people ask, and the exact article when it is named."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.rag.conftest import SAMPLES, Rag

LABOUR_LAW = "中华人民共和国劳动法"
OVERTIME = "劳动合同写的是月薪8000元，但公司一直按基本工资3000元为基数算加班费，我能主张什么？"


def found(rag: Rag, store: str, query: str, **options: Any) -> list[Any]:
    return rag.client("operator").vector_stores.search(store, query=query, **options).data


def articles(hits: Sequence[Any]) -> list[tuple[str, str]]:
    return [(each.attributes.get("law"), each.attributes.get("article")) for each in hits]


def test_the_overtime_question_finds_the_article_that_grants_overtime_pay(rag: Rag, labour_law: str) -> None:
    assert (LABOUR_LAW, "第四十四条") in articles(found(rag, labour_law, OVERTIME, max_num_results=6))


@pytest.mark.parametrize(
    "query",
    [
        "劳动法第四十四条",
        "《劳动法》第44条怎么说",
        "劳动法 44 条",
        "中华人民共和国劳动法第四十四条规定了什么",
    ],
)
def test_a_named_article_comes_first_and_is_certain(rag: Rag, labour_law: str, query: str) -> None:
    first = found(rag, labour_law, query)[0]
    assert articles([first]) == [(LABOUR_LAW, "第四十四条")]
    assert first.score == 1.0


def test_a_law_is_known_by_its_short_form(rag: Rag, labour_law: str) -> None:
    first = found(rag, labour_law, "劳合法 38 条")[0]
    assert articles([first]) == [("中华人民共和国劳动合同法", "第三十八条")]
    assert first.score == 1.0


def test_a_hit_carries_where_it_stands(rag: Rag, labour_law: str) -> None:
    first = found(rag, labour_law, "劳动法第四十四条")[0]
    text = (SAMPLES / f"{LABOUR_LAW}.txt").read_text(encoding="utf-8")
    facts = first.attributes
    assert facts["version"] == "2018-12-29"
    assert text[int(facts["start"]) : int(facts["end"])] == first.content[0].text


def test_scores_fall_and_stay_between_0_and_1(rag: Rag, labour_law: str) -> None:
    scores = [each.score for each in found(rag, labour_law, "试用期最长多久", max_num_results=20)]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= each <= 1 for each in scores)
    assert len(scores) == 20


def test_the_threshold_keeps_what_is_relevant_and_drops_what_is_not(rag: Rag, labour_law: str) -> None:
    options = {"ranking_options": {"score_threshold": 0.5}}
    assert found(rag, labour_law, "试用期最长多久", **options)
    assert not found(rag, labour_law, "今天天气怎么样", **options)


def test_filters_see_the_facts_of_passages(rag: Rag, labour_law: str) -> None:
    hits = found(rag, labour_law, "工资", filters={"type": "eq", "key": "law", "value": "工资支付暂行规定"})
    assert {law for law, _ in articles(hits)} == {"工资支付暂行规定"}
    assert not found(rag, labour_law, "工资", filters={"type": "eq", "key": "law", "value": "没有这部法"})


def test_several_questions_are_answered_together(rag: Rag, labour_law: str) -> None:
    client = rag.client("operator")
    page = client.vector_stores.search(
        labour_law, query=["劳动法第四十四条", "劳动合同法第十九条"], max_num_results=4
    )
    assert {("中华人民共和国劳动合同法", "第十九条"), (LABOUR_LAW, "第四十四条")} <= set(articles(page.data))
    assert len(page.data) <= 4
