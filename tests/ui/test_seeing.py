"""Pictures beside a question: shown to the models that see them, kept with it, and told of where they were not seen."""

import base64
import hashlib
from contextlib import closing
from typing import Any

from streamlit.testing.v1 import AppTest

from tests.fakes import gateway as fake
from tests.fakes.gateway import FakeGateway
from tests.processes import eventually
from tests.ui.pictures import opened, photograph, png
from tests.ui.script import (
    ASSISTANT,
    KEY,
    OTHER,
    RAW,
    ask,
    conversation,
    leave,
    link,
    press,
    shown,
    sign_in,
    visit,
)
from ui.client import Gateway
from ui.conversation import Side
from ui.history import History
from ui.session import Session

UNSEEN = "本栏的模型不能看图"
ASKED = "这张片子怎么看？"


def seeing(gateway: FakeGateway, **images: int) -> None:
    """Have these models see so many pictures."""
    for card in gateway.models:
        card["images"] = images.get(card["id"].replace("-", "_").replace(".", "_"), 0)


def attach(app: AppTest, **files: bytes) -> AppTest:
    for name, content in files.items():
        app.chat_input[0].upload(name.replace("_", "."), content)
    return app


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def received(message: dict[str, Any]) -> list[str]:
    """The digests of the pictures in a message as it reached the gateway."""
    parts = message["content"] if isinstance(message["content"], list) else []
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    return [digest(base64.b64decode(url.partition(";base64,")[2])) for url in urls]


def draft(app: AppTest) -> Any:
    session: Session = app.session_state["session"]
    return session.draft


def kept(app: AppTest) -> bool:
    session: Session = app.session_state["session"]
    return all(turn.kept for turn in session.conversation.turns) and not session.keeper.working


def accepting(app: AppTest) -> bool:
    return bool(app.chat_input[0].proto.accept_file)


def test_pictures_can_be_attached_where_a_column_sees_them(app: AppTest, gateway: FakeGateway) -> None:
    seeing(gateway)
    assert not accepting(sign_in(app, KEY))
    seeing(gateway, medical=2)
    assert not accepting(app.run()), "no column has that model"
    box = next(box for box in app.selectbox if box.label == "模型直接回答")
    assert accepting(box.select_index(1).run())


def test_the_model_that_sees_is_shown_and_the_other_is_asked_with_the_text_alone(
    app: AppTest, gateway: FakeGateway
) -> None:
    seeing(gateway, qwen2_5_0_5b=4)
    ask(attach(sign_in(app, KEY), a_png=png(), b_jpg=photograph()), ASKED)
    (turn,) = conversation(app).turns
    sent = [digest(picture.content) for picture in turn.pictures]
    (seen,) = gateway.chat_of(RAW).body["messages"]
    assert seen["content"][0] == {"type": "text", "text": ASKED}
    assert received(seen) == sent
    assert [part["image_url"]["url"][:15] for part in seen["content"][1:]] == [
        "data:image/png;",
        "data:image/jpeg",
    ]
    assert gateway.chat_of(ASSISTANT).body["messages"] == [{"role": "user", "content": ASKED}]
    page = shown(app)
    assert page.count(UNSEEN) == 1
    assert page.count("<img") == 2
    assert 'alt="图片 1：a.png"' in page


def test_a_follow_up_carries_each_side_s_own_pictures(app: AppTest, gateway: FakeGateway) -> None:
    seeing(gateway, qwen2_5_0_5b=2, labour_law=1)
    ask(attach(sign_in(app, KEY), a_png=png(), b_png=png(width=64)), ASKED)
    assert "它只看到了 2 张附图中的前 1 张" in shown(app)
    first = [digest(picture.content) for picture in conversation(app).turns[0].pictures]
    ask(app, "那左边呢？")
    assert [received(said) for said in gateway.chat_of(RAW).body["messages"]] == [first, [], []]
    assert [received(said) for said in gateway.chat_of(ASSISTANT).body["messages"]] == [first[:1], [], []]
    ask(attach(app, c_png=png(width=32)), "与这张相比呢？")
    (third,) = [digest(picture.content) for picture in conversation(app).turns[2].pictures]
    # The latest stay, as many as each takes.
    asked = gateway.chat_of(RAW).body["messages"]
    assert [received(said) for said in asked if said["role"] == "user"] == [first[:1], [], [third]]
    asked = gateway.chat_of(ASSISTANT).body["messages"]
    assert [received(said) for said in asked if said["role"] == "user"] == [[], [], [third]]
    press(app, "再问一次")
    assert received(gateway.chat_of(ASSISTANT).body["messages"][-1]) == [third]


def test_pictures_come_back_with_their_conversation_and_for_nobody_else(
    app: AppTest, gateway: FakeGateway
) -> None:
    seeing(gateway, qwen2_5_0_5b=4)
    ask(attach(sign_in(app, KEY), a_png=png(), b_jpg=photograph()), ASKED)
    eventually(lambda: kept(app), "all is kept")
    before = conversation(app).turns[0]
    again = visit(KEY, c=link(app))
    (after,) = conversation(again).turns
    assert (after.question, after.pictures) == (ASKED, before.pictures)
    assert [after.seen(side) for side in (Side.GROUNDED, Side.RAW)] == [0, 2]
    assert shown(again).count("<img") == 2
    assert shown(again).count(UNSEEN) == 1
    ask(again, "那左边呢？")
    assert received(gateway.chat_of(RAW).body["messages"][0]) == [
        digest(picture.content) for picture in before.pictures
    ]
    leave(again)
    stranger = visit(OTHER, c=link(app))
    assert "<img" not in shown(stranger)
    leave(stranger)
    with closing(Gateway(gateway.url, KEY)) as client:
        history = History(client)
        (entry,) = history.entries()
        assert history.entries(ASKED) == [entry], "it is found by its words"
        history.delete(entry.id)
    assert not gateway.holds_pictures()


def test_a_picture_that_cannot_be_read_stops_the_question_and_nothing_is_lost(
    app: AppTest, gateway: FakeGateway
) -> None:
    seeing(gateway, qwen2_5_0_5b=4)
    ask(attach(sign_in(app, KEY), a_png=png(), evil_png=b"MZ\x90", x_heic=b"\0\0\0\x18ftypheic"), ASKED)
    assert [error.value.partition("”")[2][:12] for error in app.error] == [
        "不是 PNG、JPEG、",
        "是 HEIC 格式的照片",
    ]
    assert app.error[0].value.startswith("“evil.png”")
    assert gateway.chats == []
    assert app.chat_input[0].proto.value == ASKED, "the words stand in the line again"
    assert [picture.name for picture in draft(app).pictures] == ["a.png"]
    ask(app, ASKED)
    assert len(received(gateway.chat_of(RAW).body["messages"][0])) == 1
    assert not app.error
    assert draft(app).pictures == []


def test_pictures_wait_for_their_question_and_can_be_taken_out(app: AppTest, gateway: FakeGateway) -> None:
    seeing(gateway, qwen2_5_0_5b=4)
    attach(
        sign_in(app, KEY), **{f"{name}_png": png(width=8 + place) for place, name in enumerate("abcde")}
    ).run()
    assert [error.value[:14] for error in app.error] == ["一个问题最多附 4 张图片，"]
    attach(app, f_png=png()).run()
    assert [picture.name for picture in draft(app).pictures] == ["a.png", "b.png", "c.png", "d.png"]
    press(press(app, "移除"), "移除")
    assert [picture.name for picture in draft(app).pictures] == ["c.png", "d.png"]
    assert gateway.chats == []
    ask(app, ASKED)
    assert [picture.name for picture in conversation(app).turns[0].pictures] == ["c.png", "d.png"]


def test_a_picture_without_words_waits_for_them(app: AppTest, gateway: FakeGateway) -> None:
    seeing(gateway, qwen2_5_0_5b=4)
    attach(sign_in(app, KEY), a_png=png()).run()
    assert not app.error
    assert "图片随下一个问题一起发送。" in shown(app)
    assert gateway.chats == []
    ask(app, ASKED)
    assert len(received(gateway.chat_of(RAW).body["messages"][0])) == 1


def test_what_a_blind_side_saw_is_told_with_the_verdict(app: AppTest, gateway: FakeGateway) -> None:
    seeing(gateway, qwen2_5_0_5b=4)
    sign_in(app, KEY)
    next(each for each in app.toggle if each.label.startswith("盲")).set_value(True).run()
    ask(attach(app, a_png=png()), ASKED)
    assert UNSEEN not in shown(app)
    eventually(lambda: kept(app), "all is kept")
    press(app, "A 更好")
    assert shown(app).count(UNSEEN) == 1


def test_a_model_that_refuses_the_picture_says_so_in_its_column(app: AppTest, gateway: FakeGateway) -> None:
    seeing(gateway, qwen2_5_0_5b=4)
    error = {"message": "`qwen` is not a multimodal model.", "type": "invalid_request_error"}
    gateway.replies[RAW] = fake.Reply(status=400, error=error)
    ask(attach(sign_in(app, KEY), a_png=png()), ASKED)
    assert [each.value for each in app.error] == ['请求未被接受。 "qwen" is not a multimodal model.']
    with opened(conversation(app).turns[0].pictures[0].content) as seen:
        assert seen.size == (320, 200)
