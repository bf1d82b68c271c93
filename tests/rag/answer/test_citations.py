"""Markers, attribution and the check: what an answer's citations claim is so, however the answer was cut."""

from typing import Any

import anyio
import pytest

from rag.answer.citations import Annotator, Untouched
from rag.answer.prompts import Language
from rag.passages import Hit
from tests.rag.answer.corpus import LABOUR, Corpus, articles

QUESTION = "劳动合同写的是月薪8000元，加班费怎么算？"

WRITTEN = (
    "根据《劳动法》第四十四条，法定休假日安排劳动者工作的，支付不低于工资的百分之三百的工资报酬[3]。"
    "每月延长工作时间不得超过三十六小时。建议您咨询律师[9]。\n"
    "1. 每日工作时间不超过八小时[2]；\n"
    "《劳动法》第九十九条和《加班费条例》也这样规定。"
)


def reading(question: str = QUESTION, language: Language = "zh") -> Annotator:
    corpus = Corpus()

    async def find(law: str | None, article: str) -> Any:
        return await corpus.article(["vs_labour"], law, article)

    return Annotator(
        hits=[Hit(passage, 0.87654) for passage in articles()],
        question=question,
        language=language,
        similarity=corpus.similarity,
        find_article=find,
        link=lambda passage: f"http://praxis/{passage.file_id}?start={passage.start}",
    )


def read(pieces: list[str], *, complete: bool = True, **how: Any) -> tuple[list[str], dict[str, Any]]:
    """The deltas given out for these pieces, and the evidence."""

    async def all_of_it() -> tuple[list[str], dict[str, Any]]:
        annotator = reading(**how)
        deltas = [await annotator.feed(piece) for piece in pieces]
        deltas.append(await annotator.close(complete=complete))
        return deltas, (await annotator.evidence()).fields()

    return anyio.run(all_of_it)


def answer(text: str, **how: Any) -> tuple[str, dict[str, Any]]:
    deltas, evidence = read([text], **how)
    return "".join(deltas), evidence


def notes(evidence: dict[str, Any]) -> dict[int, tuple[bool, str | None]]:
    return {each["marker"]: (each["verified"], each["note"]) for each in evidence["citations"]}


def test_every_split_gives_the_same_text_and_evidence_and_no_cut_marker() -> None:
    whole = answer(WRITTEN)
    for at in range(len(WRITTEN) + 1):
        deltas, evidence = read([WRITTEN[:at], WRITTEN[at:]])
        assert ("".join(deltas), evidence) == whole
        assert all(delta.count("[") == delta.count("]") for delta in deltas)
    deltas, evidence = read(list(WRITTEN))
    assert ("".join(deltas), evidence) == whole
    assert all(delta.count("[") == delta.count("]") for delta in deltas)


def test_at_most_one_sentence_is_held_back() -> None:
    deltas, _ = read(list(WRITTEN))
    given = 0
    for number, delta in enumerate(deltas[:-1], start=1):
        given += len(delta.replace("[2]", "").replace("[3]", ""))
        assert number - given < 30


def test_a_supported_sentence_without_a_marker_gets_one_before_its_stop() -> None:
    text, evidence = answer("每月延长工作时间不得超过三十六小时。建议您咨询律师。")
    assert text == "每月延长工作时间不得超过三十六小时[2]。建议您咨询律师。"
    assert notes(evidence) == {2: (True, "attributed")}


def test_the_last_sentence_needs_no_stop_unless_it_was_cut_off() -> None:
    said = "每月延长工作时间不得超过三十六小时"
    assert answer(said)[0] == f"{said}[2]"
    assert answer(said, complete=False)[0] == said


def test_a_wrong_figure_is_neither_attributed_nor_verified() -> None:
    said = "法定休假日安排劳动者工作的，支付不低于工资的百分之四百的工资报酬"
    text, evidence = answer(f"{said}。")
    assert (text, evidence["citations"], evidence["annotations"]) == (f"{said}。", [], [])
    _, evidence = answer(f"{said}[3]。")
    verified, note = notes(evidence)[3]
    assert not verified
    assert note is not None
    assert "百分之四百" in note


def test_a_figure_of_another_case_and_a_dropped_prohibition_are_told() -> None:
    said = "安排劳动者延长工作时间的，支付不低于工资的百分之二百的工资报酬"
    assert answer(f"{said}。")[0] == f"{said}。"
    verified, note = notes(answer(f"{said}[3]。")[1])[3]
    assert (verified, note) == (False, f"引用的文字把这句话里的数字（百分之二百）用于另一种情形：“{said}”")
    verified, note = notes(answer("Wages: 工资可以克扣或者无故拖欠[4].", language="en")[1])[4]
    assert not verified
    assert note is not None
    assert note.startswith("the cited text says the opposite of this")


def test_figures_of_the_question_may_be_repeated() -> None:
    said = "月薪8000元的，法定休假日安排劳动者工作应支付不低于工资的百分之三百的工资报酬。"
    assert notes(answer(said)[1]) == {3: (True, "attributed")}
    assert notes(answer(said, question="加班费怎么算？")[1]) == {}


def test_a_marker_on_the_wrong_passage_says_which_is_nearer() -> None:
    _, evidence = answer("每月延长工作时间不得超过三十六小时[4]。")
    verified, note = notes(evidence)[4]
    assert not verified
    assert note is not None
    assert "《劳动法》第四十一条" in note


def test_a_marker_on_another_article_than_the_one_named_is_not_verified() -> None:
    _, evidence = answer("《劳动法》第三十六条规定，每月延长工作时间不得超过三十六小时[2]。")
    verified, note = notes(evidence)[2]
    assert not verified
    assert note is not None
    assert "第三十六条" in note


def test_notes_are_in_the_language_of_the_answer() -> None:
    _, evidence = answer("每月应当罚款三十六元[4]。", language="en")
    assert "lacks figures" in str(notes(evidence)[4][1])


def test_across_scripts_nothing_is_claimed() -> None:
    text, evidence = answer("Workers should be paid for overtime. Wages are paid in cash [4].", language="en")
    assert text == "Workers should be paid for overtime. Wages are paid in cash [4]."
    assert notes(evidence) == {
        4: (False, "the cited text is in another language and cannot be checked automatically")
    }


def test_an_answer_that_cites_nothing_comes_with_what_was_found() -> None:
    _, evidence = answer("1")
    assert evidence["citations"] == []
    assert [each["article"] for each in evidence["uncited"]] == [each.article for each in articles()]
    first = evidence["uncited"][0]
    assert first["quote"] == LABOUR[first["start"] : first["end"]]
    assert first["url"].endswith(f"start={first['start']}")
    assert not {"verified", "note"} & first.keys()
    for cited in ("每月延长工作时间不得超过三十六小时。", "法定休假日工资的百分之四百[3]。"):
        assert answer(cited)[1]["uncited"] == [], cited
    assert answer("")[1]["uncited"] == [], "a function was called"


def test_one_failed_use_makes_the_citation_unverified() -> None:
    _, evidence = answer("每月延长工作时间不得超过三十六小时[2]。每日工作时间不超过九小时[2]。")
    assert notes(evidence)[2][0] is False


def test_a_list_of_sources_is_checked_by_the_article_that_it_names() -> None:
    _, evidence = answer("参考资料：\n[3] 《劳动法》第四十四条\n[4] 《劳动法》第三十六条")
    assert {marker: verified for marker, (verified, _) in notes(evidence).items()} == {3: True, 4: False}


def test_a_citation_tells_exactly_where_its_quote_stands() -> None:
    _, evidence = answer(WRITTEN)
    assert [each["marker"] for each in evidence["citations"]] == [2, 3]
    for citation in evidence["citations"]:
        assert citation["quote"] == LABOUR[citation["start"] : citation["end"]]
        assert citation["law"] == "中华人民共和国劳动法"
        assert citation["score"] == 0.8765
    assert list(evidence["citations"][0]) == [
        "marker", "file_id", "filename", "page", "law", "article", "version", "quote", "start", "end", "score",
        "verified", "note",
    ]  # fmt: skip


def test_annotations_point_at_the_markers_in_the_text() -> None:
    text, evidence = answer(WRITTEN)
    cited = [each["url_citation"] for each in evidence["annotations"]]
    assert [text[each["start_index"] : each["end_index"]] for each in cited] == ["[3]", "[2]", "[2]"]
    assert cited[0]["title"] == "《劳动法》第四十四条"
    assert cited[0]["url"] == f"http://praxis/file-labour?start={articles()[2].start}"
    assert {each["type"] for each in evidence["annotations"]} == {"url_citation"}


def test_laws_and_articles_that_the_knowledge_base_lacks_are_flagged() -> None:
    _, evidence = answer(WRITTEN)
    assert [(each["law"], each["article"]) for each in evidence["unverified"]] == [
        ("劳动法", "第九十九条"),
        ("加班费条例", None),
    ]
    assert all(each["nearest"] for each in evidence["unverified"])


def test_what_exists_is_not_flagged() -> None:
    _, evidence = answer("《劳动法》、劳动法第五十条、第四十四条，以及 Article 36 of the Labour Law。")
    assert evidence["unverified"] == []


def test_markers_that_point_nowhere_vanish() -> None:
    text, evidence = answer("建议您咨询律师[9]。另见[0][12]。")
    assert text == "建议您咨询律师。另见。"
    assert evidence["citations"] == []


@pytest.mark.parametrize("pieces", [['{"a": [1], "b": "应当[2]。"}'], ['{"a": [', '1], "b": "应当[2]。"}']])
def test_an_answer_in_a_form_of_its_own_is_left_alone(pieces: list[str]) -> None:
    async def through() -> tuple[str, dict[str, Any]]:
        untouched = Untouched([Hit(passage, 0.5) for passage in articles()], "zh")
        text = "".join([await untouched.feed(piece) for piece in pieces])
        return text + await untouched.close(complete=True), (await untouched.evidence()).fields()

    text, evidence = anyio.run(through)
    assert text == "".join(pieces)
    assert [each["marker"] for each in evidence["citations"]] == [1, 2, 3, 4]
    assert not any(each["verified"] for each in evidence["citations"])
