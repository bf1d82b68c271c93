"""What was asked is kept at the gateway as it is said, and comes back by its URL."""

import threading
from typing import Any

from streamlit.testing.v1 import AppTest

from tests.fakes import gateway as fake
from tests.fakes.gateway import ARTICLE, QUOTE, FakeGateway, citation, uncited
from tests.processes import eventually
from tests.ui.script import ASSISTANT, KEY, OTHER, RAW, ask, conversation, leave, link, press, shown, visit
from ui.client import Gateway
from ui.conversation import Choice, Conversation, Side
from ui.history import History
from ui.keeper import Keeper
from ui.messages import turns_of
from ui.reply import Phase

CHOICES = {Side.GROUNDED: Choice(ASSISTANT), Side.RAW: Choice(RAW)}


def kept(gateway: FakeGateway, key: str = KEY) -> list[dict[str, Any]]:
    """All that the latest conversation holds at the gateway."""
    history = History(Gateway(gateway.url, key))
    entries = history.entries()
    return history.items(entries[0].id) if entries else []


def begun(gateway: FakeGateway, question: str = "加班费怎么算？") -> Keeper:
    keeper = Keeper(Conversation())
    client = Gateway(gateway.url, KEY)
    keeper.conversation.ask(client, question, CHOICES)
    keeper.keep(client, within=20)
    return keeper


def whole(gateway: FakeGateway, answers: int = 2) -> bool:
    states = [item["status"] for item in kept(gateway) if item["role"] == "assistant"]
    return len(states) == answers and "in_progress" not in states


def test_a_turn_is_kept_with_all_that_it_showed(gateway: FakeGateway) -> None:
    gateway.replies[ASSISTANT] = fake.Reply(
        ["应当", "支付[1]。"],
        thinking=["先想"],
        citations=[citation()],
        unverified=[{"law": "劳动法", "article": "第九百条", "nearest": "第九十条"}],
    )
    keeper = begun(gateway)
    assert keeper.conversation.id
    eventually(lambda: whole(gateway), "both answers are whole")
    (turn,) = turns_of(kept(gateway))
    before, after = keeper.conversation.turns[0].replies[Side.GROUNDED], turn.replies[Side.GROUNDED]
    assert (turn.question, turn.choices) == ("加班费怎么算？", CHOICES)
    for name in ("phase", "text", "thinking", "citations", "unverified", "usage", "finish"):
        assert getattr(after, name) == getattr(before, name), name
    assert after.phase is Phase.DONE
    assert after.passages[1].text == ARTICLE
    assert [run for run, marked in after.passages[1].runs if marked] == [QUOTE]
    assert after.to_first is not None
    assert abs(after.elapsed - before.elapsed) < 0.01
    assert turn.replies[Side.RAW].text == "好的。"


def test_what_was_found_beside_an_answer_is_kept(gateway: FakeGateway) -> None:
    gateway.replies[ASSISTANT] = fake.Reply(["1"], uncited=[uncited(page=3), uncited(marker=2)])
    keeper = begun(gateway)
    eventually(lambda: whole(gateway), "both answers are whole")
    (turn,) = turns_of(kept(gateway))
    before, after = keeper.conversation.turns[0].replies[Side.GROUNDED], turn.replies[Side.GROUNDED]
    assert [each.page for each in before.uncited] == [3, None]
    assert after.uncited == before.uncited


def test_an_answer_still_streaming_is_kept_as_far_as_it_came(gateway: FakeGateway) -> None:
    hold = threading.Event()
    gateway.replies[RAW] = fake.Reply(["前半", "后半"], stall=hold)
    keeper = begun(gateway)

    def saved() -> Any:
        return [turn.replies[Side.RAW] for turn in turns_of(kept(gateway)) if Side.RAW in turn.replies]

    eventually(lambda: saved() and saved()[0].text == "前半", "the first words are kept")
    assert saved()[0].phase is Phase.STOPPED
    hold.set()
    eventually(lambda: saved()[0].text == "前半后半", "the rest is kept")
    eventually(lambda: saved()[0].phase is Phase.DONE, "its end is kept")
    assert not keeper.failure


def test_what_could_not_be_kept_is_kept_when_the_gateway_is_back(gateway: FakeGateway) -> None:
    client = Gateway(gateway.url, KEY)
    keeper = Keeper(Conversation())
    gateway.stop()
    try:
        keeper.conversation.ask(client, "停机时的问题", CHOICES)
        keeper.keep(client, within=0)
        eventually(lambda: keeper.failure, "the failure is seen")
    finally:
        gateway.start()
    eventually(lambda: whole(gateway), "it is kept in the end")
    (turn,) = turns_of(kept(gateway))
    reply = turn.replies[Side.RAW]
    assert (reply.phase, reply.error and reply.error.kind) == (Phase.FAILED, "unreachable")


def test_what_was_deleted_does_not_come_back(gateway: FakeGateway) -> None:
    hold = threading.Event()
    gateway.replies[RAW] = fake.Reply(["前半", "后半"], stall=hold)
    keeper = begun(gateway)
    history = History(Gateway(gateway.url, KEY))
    eventually(lambda: len(kept(gateway)) == 3, "the turn is kept")
    history.delete(keeper.conversation.id or "")
    hold.set()
    eventually(lambda: keeper.failure and keeper.failure.status == 404, "the keeper hears of it")
    assert history.entries() == []


def test_a_reload_leads_back_through_the_sign_in(signed_in: AppTest, gateway: FakeGateway) -> None:
    gateway.replies[ASSISTANT] = fake.Reply(["应当支付[1]。"], citations=[citation()])
    ask(signed_in, "加班费怎么算？")
    opened = link(signed_in)
    assert opened == conversation(signed_in).id
    eventually(lambda: whole(gateway), "both answers are kept")
    again = visit(KEY, c=opened)
    for text in ("加班费怎么算？", "应当支付", "《中华人民共和国劳动法》第四十四条", "好的。"):
        assert text in shown(again)
    assert "<mark>安排劳动者延长工作时间的" in shown(again)
    ask(again, "那周末呢？")
    assert [message["content"] for message in gateway.chat_of(RAW).body["messages"]] == [
        "加班费怎么算？",
        "好的。",
        "那周末呢？",
    ]
    assert link(again) == opened
    eventually(lambda: len(turns_of(kept(gateway))) == 2 and whole(gateway, 4), "the second turn is kept")
    leave(again)


def test_somebody_elses_link_shows_nothing(signed_in: AppTest, gateway: FakeGateway) -> None:
    ask(signed_in, "甲的秘密问题")
    opened = link(signed_in)
    other = visit(OTHER, c=opened)
    assert "甲的秘密问题" not in shown(other)
    assert "这个对话不存在或已被删除。" in shown(other)
    assert "c" not in other.query_params
    assert other.chat_input
    leave(other)


def test_a_new_conversation_and_signing_out_leave_the_link(signed_in: AppTest) -> None:
    ask(signed_in, "一？")
    press(signed_in, "新对话")
    assert "c" not in signed_in.query_params
    ask(signed_in, "二？")
    assert "c" in signed_in.query_params
    press(signed_in, "退出登录")
    assert "c" not in signed_in.query_params


def test_a_key_that_ended_leaves_the_link_for_the_next_sign_in(
    signed_in: AppTest, gateway: FakeGateway
) -> None:
    ask(signed_in, "一？")
    del gateway.keys[KEY]
    signed_in.run()
    assert signed_in.text_input[0].label == "访问密钥"
    assert "c" in signed_in.query_params


def test_a_question_asked_again_is_asked_as_if_for_the_first_time(
    signed_in: AppTest, gateway: FakeGateway
) -> None:
    ask(ask(signed_in, "一？"), "二？")
    gateway.replies[RAW] = fake.Reply(["这次不同。"])
    press(signed_in, "再问一次")
    assert [message["content"] for message in gateway.chat_of(RAW).body["messages"]] == [
        "一？",
        "好的。",
        "二？",
    ]
    eventually(lambda: len(turns_of(kept(gateway))) == 3 and whole(gateway, 6), "all is kept")
    again = visit(KEY, c=link(signed_in))
    ask(again, "三？")
    assert [message["content"] for message in gateway.chat_of(RAW).body["messages"]] == [
        "一？",
        "好的。",
        "二？",
        "这次不同。",
        "三？",
    ]
    leave(again)
