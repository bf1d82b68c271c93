"""The support check: words, figures and named articles first, the embedding where the words leave it open."""

import re
from collections.abc import Sequence

import anyio
import pytest

from rag.answer.clauses import Clauses
from rag.answer.content import content_units
from rag.answer.support import SUPPORT, Support, Verdict
from tests.rag.answer.corpus import articles
from tests.rag.conftest import SAMPLES

OPPOSITES = [("不得", "可以"), ("应当", "不得"), ("可以", "不得")]


class Embedding:
    """Gives every pair the same similarity, and remembers what it was asked."""

    def __init__(self, similarity: float) -> None:
        self.given = similarity
        self.asked: list[tuple[str, ...]] = []

    async def similarity(self, sentences: Sequence[str], passages: Sequence[str]) -> list[list[float]]:
        self.asked.append(tuple(passages))
        return [[self.given] * len(passages) for _ in sentences]


def check(sentence: str, similarity: float = 1.0, question: str = "") -> list[Verdict]:
    support = Support(articles(), question, Embedding(similarity).similarity)
    return anyio.run(support.check, sentence)


def supporting(sentence: str, similarity: float = 1.0) -> list[str | None]:
    verdicts = zip(check(sentence, similarity), articles(), strict=True)
    return [passage.article for verdict, passage in verdicts if verdict.supported]


@pytest.mark.parametrize(
    ("sentence", "article"),
    [
        ("法定休假日安排劳动者工作的，支付不低于工资的百分之三百的工资报酬", "第四十四条"),
        ("休息日加班又不能安排补休的，加班费不低于工资的200%", "第四十四条"),
        ("法定休假日安排劳动者工作的，应支付三倍的工资报酬", "第四十四条"),
        ("劳动者每日工作时间不超过8小时，平均每周不超过44小时", "第三十六条"),
        ("工资应当按月以货币形式支付，不得克扣或者无故拖欠", "第五十条"),
        ("根据《劳动法》第四十一条，延长工作时间每月不得超过三十六小时", "第四十一条"),
    ],
)
def test_what_an_article_says_is_supported_by_it_alone(sentence: str, article: str) -> None:
    assert supporting(sentence, similarity=0.95) == [article]


@pytest.mark.parametrize(
    "sentence",
    [
        "法定休假日安排劳动者工作的，支付不低于工资的百分之四百的工资报酬",
        "劳动者每日工作时间不超过九小时",
        "延长工作时间每月不得超过40小时",
        "您可以保存好考勤记录和聊天记录作为证据",
        "建议您咨询专业律师以获得更具体的法律意见",
        "加班费的计算基数由双方协商确定",
        "用人单位应当为劳动者缴纳住房公积金",
        "根据《劳动合同法》第四十四条，法定休假日安排劳动者工作的，支付百分之三百的工资报酬",
        "是的",
        "",
    ],
)
def test_nothing_else_is_supported_however_similar(sentence: str) -> None:
    assert supporting(sentence, similarity=1.0) == []


@pytest.mark.parametrize(
    ("sentence", "figures"),
    [
        ("安排劳动者延长工作时间的，支付不低于工资的百分之二百的工资报酬", ["百分之二百"]),
        ("休息日安排劳动者工作又不能安排补休的，加班费不低于工资的300%", ["300%"]),
        ("延长工作时间的支付工资的150%，休息日的支付300%，法定休假日的支付200%", ["300%", "200%"]),
        ("因特殊原因需要延长工作时间的，每日不得超过一小时", ["一小时"]),
    ],
)
def test_a_figure_of_another_case_is_no_support(sentence: str, figures: list[str]) -> None:
    verdicts = [each for each in check(sentence) if each.reason == "case"]
    assert [list(each.figures) for each in verdicts] == [figures]
    assert supporting(sentence) == []


@pytest.mark.parametrize(
    "sentence",
    [
        "延长工作时间的支付工资的150%，休息日的支付200%，法定休假日的支付300%",
        "不低于工资150%的工资报酬用于延长工作时间，200%用于休息日，300%用于法定休假日",
        "一般每日不得超过一小时，因特殊原因每日不得超过三小时，每月不得超过三十六小时",
        "工资不能克扣，也不能无故拖欠",
        "工资不得低于约定，克扣工资是禁止的",
        "用人单位协商后有权延长工作时间，一般每日最多一小时",
        "每月延长工作时间超过三十六小时是违反规定的",
    ],
)
def test_the_same_in_other_words_is_neither_misplaced_nor_turned_round(sentence: str) -> None:
    assert not {each.reason for each in check(sentence)} & {"case", "turned"}


@pytest.mark.parametrize(
    ("sentence", "clause"),
    [
        ("工资可以克扣或者无故拖欠", "工资可以克扣或者无故拖欠"),
        ("工资不得以货币形式按月支付给劳动者本人", "工资不得以货币形式按月支付给劳动者本人"),
        ("经协商，每月延长工作时间可以超过三十六小时", "每月延长工作时间可以超过三十六小时"),
        (
            "法定休假日安排劳动者工作的，支付不超过工资的百分之三百的工资报酬",
            "支付不超过工资的百分之三百的工资报酬",
        ),
    ],
)
def test_the_opposite_is_no_support(sentence: str, clause: str) -> None:
    assert clause in {each.clause for each in check(sentence) if each.reason == "turned"}
    assert supporting(sentence) == []


def test_nothing_that_a_statute_says_is_taken_for_its_opposite_and_most_that_it_does_not_say_is() -> None:
    text = (SAMPLES / "中华人民共和国劳动法.txt").read_text(encoding="utf-8")
    turned = told = 0
    for article in re.split(r"\n(?=第[一二三四五六七八九十百]+条)", text)[1:]:
        passage = Clauses(article)
        for clause in re.split(r"[。；，：\n]", article):
            assert passage.misplaced(clause) == []
            assert passage.turned(clause) is None
            if opposite := next((clause.replace(a, b) for a, b in OPPOSITES if a in clause), None):
                turned += 1
                told += passage.turned(opposite) is not None
    assert turned > 80
    assert told / turned > 0.85


def test_words_and_similarity_together_reach_the_threshold() -> None:
    sentence = "休息日工作又不能安排补休的，加班工资是百分之二百"
    coverage = max(Support(articles(), "", Embedding(0).similarity).coverage(sentence))
    assert 0.47 < coverage < 0.9
    assert supporting(sentence, SUPPORT - coverage + 0.01) == ["第四十四条"]
    assert supporting(sentence, SUPPORT - coverage - 0.01) == []


def test_only_open_questions_are_put_to_the_embedding() -> None:
    embedding = Embedding(1.0)
    support = Support(articles(), "", embedding.similarity)
    anyio.run(support.check, "建议您咨询专业律师以获得更具体的法律意见")
    assert embedding.asked == []
    anyio.run(support.check, "工资应当以货币形式按月支付给劳动者本人")
    assert embedding.asked == [(articles()[3].text,)]


def test_an_article_may_be_named_by_the_passage_that_refers_to_it() -> None:
    assert check("第四十四条")[2].supported
    assert check("《劳动法》第四十四条")[2].supported
    assert not check("《民法典》第四十四条")[2].supported


def test_law_names_and_numerals_are_no_words() -> None:
    assert content_units("《劳动法》第四十四条 百分之三百 The wages") == {"分之", "百分", "wages"} - {"百分"}
