"""What /v1/models shows."""

import json
from typing import Any

from tests.fakes.vllm import VLLM
from tests.gateway.asking import house
from tests.gateway.conftest import Serve


def test_models_and_aliases_are_listed_in_openai_s_shape(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine))
    listing = running.get("/v1/models").json()
    assert listing["object"] == "list"
    cards = {card["id"]: card for card in listing["data"]}
    assert {"law", "default"} <= cards.keys()
    assert len(cards) == len(listing["data"])
    for card in cards.values():
        assert card["object"] == "model"
        assert isinstance(card["created"], int)
        assert isinstance(card["owned_by"], str)


def test_a_base_has_no_parent_and_nothing_shows_a_path(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine))
    listing = running.get("/v1/models")
    assert running.models()["law"].get("parent") is None

    def texts(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [text for each in value.values() for text in texts(each)]
        if isinstance(value, list):
            return [text for each in value for text in texts(each)]
        return [value] if isinstance(value, str) else []

    assert not [text for text in texts(listing.json()) if text.startswith("/")]
    assert str(running.folder) not in listing.text


def test_one_model_is_its_card_in_the_list(gateway: Serve, engine: VLLM) -> None:
    running = gateway(house(engine))
    for name, card in running.models().items():
        one = running.get(f"/v1/models/{name}")
        assert one.status_code == 200
        assert one.json().keys() == card.keys()
        assert one.json()["id"] == name


def test_a_name_with_a_slash_is_found_as_written_and_as_the_sdk_escapes_it(
    gateway: Serve, engine: VLLM
) -> None:
    config = json.loads(house(engine))
    config["models"]["org/law"] = {"backend": "local", "upstream": "qwen"}
    running = gateway(json.dumps(config))
    for path in ("org/law", "org%2Flaw"):
        assert running.get(f"/v1/models/{path}").json()["id"] == "org/law"


def test_an_unknown_model_is_404_and_names_the_known(gateway: Serve, engine: VLLM) -> None:
    reply = gateway(house(engine)).get("/v1/models/nobody")
    assert reply.status_code == 404
    error = reply.json()["error"]
    assert error["type"] == "not_found_error"
    assert error["code"] == "model_not_found"
    assert "`nobody`" in error["message"]
    assert "`law`" in error["message"]


def test_a_model_tells_how_many_pictures_it_sees_and_an_assistant_as_its_base(
    gateway: Serve, engine: VLLM
) -> None:
    config = json.loads(house(engine, images=4))
    config["models"]["blind"] = {"backend": "local", "upstream": "qwen"}
    config["assistants"] = {
        name: {"model": base, "knowledge": ["labour-law"]}
        for name, base in (("radiology", "law"), ("labour-law", "blind"))
    }
    running = gateway(json.dumps(config))
    told = {name: card["images"] for name, card in running.models().items()}
    assert told.pop("multilingual-e5-small") == 0
    assert told == {"law": 4, "default": 4, "blind": 0, "radiology": 4, "labour-law": 0}
    assert running.get("/v1/models/radiology").json()["images"] == 4
