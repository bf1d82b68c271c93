"""A picture on its whole way: from the page through the gateway and the document process to the engine, and into nobody
else's hands."""

import base64
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
import sqlalchemy as sa

from praxis.state import connect
from tests.processes import eventually
from tests.rag.house import ASKED, House, housed
from tests.ui.pictures import photograph, png
from tests.ui.script import ask, choose_documents, conversation, leave, link, visit
from ui.session import Session

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[House]:
    with housed(tmp_path_factory.mktemp("house"), model) as made:
        made.config["models"]["base"]["images"] = 4
        made.gateway.configure(json.dumps(made.config))
        yield made


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def received(house: House) -> list[list[str]]:
    """Of each request that reached the engine, the digests of the pictures in it."""
    return [
        [
            digest(base64.b64decode(part["image_url"]["url"].partition(";base64,")[2]))
            for said in seen.json["messages"]
            if isinstance(said["content"], list)
            for part in said["content"]
            if part["type"] == "image_url"
        ]
        for seen in house.engine.asked
    ]


def count(house: House) -> int:
    engine = connect(house.config["state"])
    with engine.connect() as connection:
        held: int = connection.execute(sa.text("SELECT count(*) FROM conversation_image")).scalar_one()
    engine.dispose()
    return held


def test_both_columns_see_what_was_attached_and_nobody_else_does(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRAXIS_GATEWAY_URL", house.gateway.url)
    house.filled("甲所", "借阅")
    app = choose_documents(visit(house.keys["甲所"]))
    house.engine.seen.clear()
    app.chat_input[0].upload("a.png", png()).upload("b.jpg", photograph())
    ask(app, ASKED)
    (turn,) = conversation(app).turns
    eventually(lambda: not turn.running, "both have answered")
    sent = [digest(picture.content) for picture in turn.pictures]
    assert received(house) == [sent, sent]
    grounded = [seen.json["messages"] for seen in house.engine.asked if len(seen.json["messages"]) == 2]
    assert len(grounded) == 1, "the document process adds what it found"
    assert "七册" in grounded[0][0]["content"]
    session: Session = app.session_state["session"]
    eventually(lambda: turn.kept and not session.keeper.working, "all is kept")

    path = f"/v1/conversations/{conversation(app).id}"
    image = f"{path}/items/{turn.item}/images/1"
    assert digest(house.ask("甲所", "GET", image).content) == sent[0]
    assert [house.ask(who, "GET", image).status_code for who in ("乙所", "医院", "admin")] == [404] * 3
    assert house.ask("医院", "DELETE", path).status_code == 404
    stranger = visit(house.keys["乙所"], c=link(app))
    assert conversation(stranger).turns == []
    leave(stranger)

    again = visit(house.keys["甲所"], c=link(app))
    assert conversation(again).turns[0].pictures == turn.pictures
    house.engine.seen.clear()
    ask(again, "那借期呢？")
    eventually(lambda: not conversation(again).running, "both have answered")
    # What the document process asks to understand a follow-up is of words alone.
    assert [each for each in received(house) if each] == [sent, sent]
    eventually(lambda: not again.session_state["session"].keeper.working, "all is kept")
    leave(again)
    leave(app)
    assert count(house) == 2
    assert house.ask("甲所", "DELETE", path).status_code == 200
    assert count(house) == 0


@pytest.mark.parametrize("grounded", [False, True])
def test_clients_of_the_api_send_pictures_to_a_model_and_with_a_search(house: House, grounded: bool) -> None:
    store, _ = house.filled("甲所", "借阅")
    house.engine.seen.clear()
    url = f"data:image/png;base64,{base64.b64encode(png()).decode()}"
    content: Any = [{"type": "text", "text": ASKED}, {"type": "image_url", "image_url": {"url": url}}]
    tools: Any = [{"type": "file_search", "vector_store_ids": [store]}] if grounded else openai.omit
    with house.client("甲所") as client:
        client.chat.completions.create(
            model="base", messages=[{"role": "user", "content": content}], tools=tools
        )
    assert received(house) == [[digest(png())]]
