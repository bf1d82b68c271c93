"""The support check on the scale of the embedded embedding model, over the sample statutes."""

from collections.abc import Sequence

import anyio
import pytest

from rag.answer.statutes import short_name
from rag.answer.support import Support
from rag.index.embedding import Embedder
from rag.ingest.statutes import split
from rag.passages import Passage
from tests.rag.conftest import SAMPLES

TRUE = [
    ("用人单位安排劳动者延长工作时间的，应当支付不低于工资百分之一百五十的工资报酬", "劳动法", "第四十四条"),
    ("平时加班的，单位应按不低于工资150%的标准支付加班费", "劳动法", "第四十四条"),
    ("休息日加班又不能安排补休的，加班费不低于工资的百分之二百", "劳动法", "第四十四条"),
    ("法定节假日加班，需支付三倍工资", "劳动法", "第四十四条"),
    (
        "根据《劳动法》第四十四条，法定休假日安排劳动者工作的，支付不低于工资的百分之三百的工资报酬",
        "劳动法",
        "第四十四条",
    ),
    ("劳动者每日工作时间不超过八小时，平均每周工作时间不超过四十四小时", "劳动法", "第三十六条"),
    ("一般每天加班不得超过一小时，特殊情况下每天不超过三小时，每月不超过三十六小时", "劳动法", "第四十一条"),
    (
        "劳动争议申请仲裁的时效期间为一年，从当事人知道或者应当知道其权利被侵害之日起计算",
        "劳动争议调解仲裁法",
        "第二十七条",
    ),
    ("申请劳动仲裁的时效是一年", "劳动争议调解仲裁法", "第二十七条"),
    (
        "在劳动关系存续期间因拖欠劳动报酬发生争议的，申请仲裁不受一年时效的限制",
        "劳动争议调解仲裁法",
        "第二十七条",
    ),
    (
        "用人单位自用工之日起超过一个月不满一年未与劳动者订立书面劳动合同的，应当每月支付二倍的工资",
        "劳动合同法",
        "第八十二条",
    ),
    ("公司入职超过一个月没签书面合同，要付双倍工资", "劳动合同法", "第八十二条"),
    ("工资应当以货币形式按月支付给劳动者本人，不得克扣或者无故拖欠", "劳动法", "第五十条"),
    (
        "经济补偿按劳动者在本单位工作的年限，每满一年支付一个月工资的标准向劳动者支付",
        "劳动合同法",
        "第四十七条",
    ),
    ("工作六个月以上不满一年的按一年计算经济补偿", "劳动合同法", "第四十七条"),
    ("违法解除劳动合同的，用人单位应按经济补偿标准的二倍支付赔偿金", "劳动合同法", "第八十七条"),
    ("用人单位应当严格执行劳动定额标准，不得强迫或者变相强迫劳动者加班", "劳动合同法", "第三十一条"),
    ("劳动合同期限三个月以上不满一年的，试用期不得超过一个月", "劳动合同法", "第十九条"),
    ("试用期工资不得低于约定工资的百分之八十", "劳动合同法", "第二十条"),
    ("劳动者提前三十日以书面形式通知用人单位，可以解除劳动合同", "劳动合同法", "第三十七条"),
    ("员工辞职需要提前30天书面通知公司", "劳动合同法", "第三十七条"),
    (
        "与争议事项有关的证据属于用人单位掌握管理的，用人单位应当提供，不提供的应承担不利后果",
        "劳动争议调解仲裁法",
        "第六条",
    ),
    ("工资必须在约定的日期支付，遇节假日应提前支付", "工资支付暂行规定", "第七条"),
    (
        "用人单位应书面记录支付工资的数额、时间、领取者姓名及签字，并保存两年以上",
        "工资支付暂行规定",
        "第六条",
    ),
    ("女职工生育享受不少于九十天的产假", "劳动法", "第六十二条"),
]

WRONG = [
    "法定休假日安排劳动者工作的，支付不低于工资的百分之四百的工资报酬",
    "申请劳动仲裁的时效是两年",
    "您可以保存好考勤记录和聊天记录作为证据",
    "建议您咨询专业律师以获得更具体的法律意见",
    "公司应当按照实际工资作为加班费的计算基数",
    "首先需要收集证据证明存在加班事实",
    "加班费的计算基数由双方协商确定",
    "您可以向劳动监察部门投诉",
    "资料中没有依据",
    "如果公司拒绝支付，可以申请劳动仲裁或者提起诉讼",
    "用人单位应当为劳动者缴纳住房公积金",
    "劳动者患病期间的医疗费用由用人单位全部承担",
    "希望以上回答对您有所帮助",
    "劳动者可以随时解除劳动合同而不需要任何理由",
]


@pytest.fixture(scope="module")
def passages(embedder: Embedder) -> list[Passage]:
    """The articles that `TRUE` speaks of."""
    wanted = {(law, article) for _, law, article in TRUE}
    found: list[Passage] = []
    for file in sorted(SAMPLES.glob("*.txt")):
        text = file.read_text(encoding="utf-8")
        for chunk in split(text, 480, embedder.count):
            law, article = short_name(chunk.law or ""), chunk.article
            if (law, article) in wanted:
                where = (text[chunk.start : chunk.end], chunk.start, chunk.end, None)
                found.append(
                    Passage(len(found), file.stem, "vs", file.name, *where, law, article, None, chunk.path)
                )
    assert {(each.law, each.article) for each in found} == wanted
    return found


def supporting(
    embedder: Embedder, passages: list[Passage], sentence: str
) -> set[tuple[str | None, str | None]]:
    async def similarity(sentences: Sequence[str], texts: Sequence[str]) -> list[list[float]]:
        rows = embedder.queries(sentences) @ embedder.passages(texts).T
        return [[embedder.relevance(float(each)) for each in row] for row in rows]

    verdicts = anyio.run(Support(passages, "", similarity).check, sentence)
    pairs = zip(verdicts, passages, strict=True)
    return {(passage.law, passage.article) for verdict, passage in pairs if verdict.supported}


def test_most_true_sentences_are_supported_by_their_article(
    embedder: Embedder, passages: list[Passage]
) -> None:
    missed = [
        sentence
        for sentence, law, article in TRUE
        if (law, article) not in supporting(embedder, passages, sentence)
    ]
    assert len(missed) <= 4, missed


@pytest.mark.parametrize("sentence", WRONG)
def test_no_wrong_sentence_is_supported_by_any_article(
    embedder: Embedder, passages: list[Passage], sentence: str
) -> None:
    assert supporting(embedder, passages, sentence) == set()
