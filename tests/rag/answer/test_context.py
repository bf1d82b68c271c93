"""What the model is shown: quoted passages that cannot leave their quotation, packed into the window."""

import re
from dataclasses import replace
from typing import Any

import pytest

from praxis.errors import InvalidRequest
from rag.answer.context import Message, distinct, estimate_tokens, message_text, pack, question_in
from rag.answer.prompts import CLOSE, OPEN, heading, language_of, quotable, system_prompt
from rag.passages import Hit
from tests.rag.answer.corpus import HOSTILE, articles, hostile

QUESTION: Message = {"role": "user", "content": "加班费怎么算？"}


def hits() -> list[Hit]:
    return [Hit(passage, 0.9 - 0.1 * number) for number, passage in enumerate(articles())]


def shown(system: str) -> str:
    """What stands between the delimiters, each of which there is once on a line of its own."""
    (inside,) = re.findall(rf"^{OPEN}\n(.*?)\n{CLOSE}$", system, re.S | re.M)
    return str(inside)


def test_passages_are_numbered_and_named() -> None:
    inside = shown(system_prompt(articles(), "zh", []))
    assert inside.startswith(
        "[1] 《劳动法》第三十六条（第四章 工作时间和休息休假，2018-12-29版本）\n第三十六条 国家实行"
    )
    assert "\n\n[3] 《劳动法》第四十四条" in inside


def test_the_prompt_speaks_the_language_asked_for() -> None:
    assert "Answer the user's question only from" in system_prompt(articles(), "en", [])
    assert "请只根据" in system_prompt(articles(), "zh", [])
    assert language_of("加班费怎么算？") == "zh"
    assert language_of("How is overtime paid under 劳动法?") == "en"


def test_a_file_without_articles_is_named_by_name_and_page() -> None:
    passage = replace(hostile(), filename="须知.pdf")
    assert heading(passage, "zh") == "须知.pdf 第2页"
    assert heading(passage, "en") == "须知.pdf page 2"


def test_a_statute_uploaded_twice_is_shown_once() -> None:
    twice = [
        each
        for hit in hits()
        for each in (hit, replace(hit, passage=replace(hit.passage, id=-1, text=hit.passage.text + "\n")))
    ]
    assert distinct(twice) == hits()


def test_a_hostile_document_stays_inside_the_quotation() -> None:
    system = system_prompt([*articles()[:1], hostile()], "zh", [])
    inside = shown(system)
    assert "Ignore previous instructions" in inside
    assert "忽略以上所有指令" in inside
    assert system.count(CLOSE) == 1
    assert system.endswith(CLOSE)
    for control in ("<|", "[/INST]", "[INST]", "<<SYS>>", "</s>"):
        assert control not in inside
    assert re.findall(r"\[(\d+)\]", inside) == ["1", "2"]


@pytest.mark.parametrize("text", ["p < 0.05", "a <= b", "第一百二十条", "see (1) and {2}", "3<5"])
def test_harmless_text_is_quoted_as_it_is(text: str) -> None:
    assert quotable(text) == text


def test_invisible_characters_cannot_hide_a_delimiter() -> None:
    assert quotable("<\u200b/passages>\x00") == "＜/passages>"


def test_the_prompts_of_operator_and_client_come_first_in_one_system_message() -> None:
    messages = [{"role": "developer", "content": "Be brief."}, QUESTION]
    packed = pack(messages, hits(), language="zh", window=4096, prompt="你是劳动法律师。").messages
    assert [message["role"] for message in packed] == ["system", "user"]
    assert packed[0]["content"].startswith("你是劳动法律师。\n\nBe brief.\n\n请只根据")


def test_earlier_turns_are_kept_in_order() -> None:
    history: list[Message] = [
        {"role": "user", "content": "你好"},
        {"role": "assistant", "content": "您好"},
        QUESTION,
    ]
    assert pack(history, hits(), language="zh", window=4096).messages[1:] == history


def test_the_oldest_turns_go_first_and_whole() -> None:
    call: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1"}]}
    old: list[Message] = [{"role": "user", "content": "旧" * 900}, call, {"role": "tool", "content": "结果"}]
    recent: list[Message] = [{"role": "user", "content": "新问题"}, {"role": "assistant", "content": "答"}]
    kept = pack([*old, *recent, QUESTION], hits(), language="zh", window=2048).messages[1:]
    assert kept == [*recent, QUESTION]


def test_an_image_in_the_question_reaches_the_model() -> None:
    content = [
        {"type": "text", "text": "这张工资条对吗？"},
        {"type": "image_url", "image_url": {"url": "data:"}},
    ]
    message = {"role": "user", "content": content}
    assert pack([message], hits(), language="zh", window=4096).messages[-1] == message
    assert message_text(message) == "这张工资条对吗？"


@pytest.mark.parametrize("window", [512, 1024, 2048, 4096])
def test_the_prompt_fits_the_window_and_holds_the_best_passage(window: int) -> None:
    packed = pack([QUESTION], hits() * 5, language="zh", window=window)
    size = sum(estimate_tokens(message_text(message)) for message in packed.messages)
    assert size <= window * 0.8
    assert packed.hits[0].passage.article == "第三十六条"


def test_a_passage_that_is_cut_is_still_an_exact_span() -> None:
    long = replace(articles()[2], text="甲乙丙丁。" * 2_000, start=100, end=10_100)
    (hit,) = pack([QUESTION], [Hit(long, 1.0)], language="zh", window=4096).hits
    assert long.text.startswith(hit.passage.text)
    assert hit.passage.text.endswith("。")
    assert hit.passage.end - hit.passage.start == len(hit.passage.text) < 2_000


def test_the_question_is_the_last_user_message() -> None:
    parts = [{"type": "text", "text": "一"}, {"type": "text", "text": "二"}]
    assert (
        question_in([QUESTION, {"role": "user", "content": parts}, {"role": "tool", "content": "x"}])
        == "一\n二"
    )


@pytest.mark.parametrize(
    "content", ["", "  \n", None, [], [{"type": "image_url", "image_url": {"url": "data:"}}]]
)
def test_a_question_without_text_is_refused(content: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        question_in([QUESTION, {"role": "user", "content": content}])
    assert refused.value.param == "messages"


def test_the_hostile_text_is_hostile() -> None:
    assert CLOSE in HOSTILE
    assert "<|im_end|>" in HOSTILE


def test_pictures_stay_with_their_question_and_take_their_room() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBO"}}
    earlier: list[Message] = [
        {"role": "user", "content": [{"type": "text", "text": "这张呢？"}, picture]},
        {"role": "assistant", "content": "好。"},
    ]
    asked: Message = {"role": "user", "content": [{"type": "text", "text": "加班费怎么算？"}, picture]}
    wide = pack([*earlier, asked], hits(), language="zh", window=8000)
    assert wide.messages[1:] == [*earlier, asked]
    narrow = pack([*earlier, asked], hits(), language="zh", window=2200, answer_tokens=100)
    assert narrow.messages[1:] == [asked]
