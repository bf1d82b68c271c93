"""The support check: words, figures and named articles first, the embedding where the words leave it open."""

from collections.abc import Sequence

import anyio
import pytest

from rag.answer.support import SUPPORT, Support, Verdict, content_units
from tests.rag.answer.corpus import articles


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
