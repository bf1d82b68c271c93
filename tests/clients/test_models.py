"""The list of models by the SDK."""

import pytest
from openai import NotFoundError, OpenAI


def test_the_list_has_the_model(client: OpenAI, model: str) -> None:
    cards = list(client.models.list())
    assert model in {card.id for card in cards}
    assert {card.object for card in cards} == {"model"}
    assert all(card.created > 0 and card.owned_by for card in cards)


def test_one_model(client: OpenAI, model: str) -> None:
    assert client.models.retrieve(model).id == model


@pytest.mark.parametrize("name", ["nobody", "some/body", "一个"])
def test_an_unknown_model(client: OpenAI, name: str) -> None:
    with pytest.raises(NotFoundError) as refused:
        client.models.retrieve(name)
    assert refused.value.code == "model_not_found"
    assert name in str(refused.value)
