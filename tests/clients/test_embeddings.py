"""Embeddings by the SDK, which asks for base64 and decodes it unless told otherwise."""

import math

import pytest
from openai import BadRequestError, NotFoundError, OpenAI

TEXTS = ["加班费按不低于工资的百分之一百五十支付。", "The cat sat on the mat.", "延长工作时间的工资报酬"]


def nearness(one: list[float], other: list[float]) -> float:
    """The cosine of two vectors."""
    return sum(a * b for a, b in zip(one, other, strict=True)) / math.hypot(*one) / math.hypot(*other)


def test_base64_and_numbers_are_the_same(client: OpenAI, embedding: str) -> None:
    packed = client.embeddings.create(model=embedding, input=TEXTS)
    plain = client.embeddings.create(model=embedding, input=TEXTS, encoding_format="float")
    assert packed.model == plain.model == embedding
    assert [item.index for item in packed.data] == [0, 1, 2]
    for one, other in zip(packed.data, plain.data, strict=True):
        assert one.embedding == pytest.approx(other.embedding, abs=1e-5)
    assert packed.usage.total_tokens > 0


def test_like_is_near_like(client: OpenAI, embedding: str) -> None:
    pay, cat, overtime = (
        item.embedding for item in client.embeddings.create(model=embedding, input=TEXTS).data
    )
    assert nearness(pay, overtime) > nearness(pay, cat)


def test_one_text_is_the_list_of_one(client: OpenAI, embedding: str) -> None:
    alone = client.embeddings.create(model=embedding, input=TEXTS[0]).data[0].embedding
    listed = client.embeddings.create(model=embedding, input=[TEXTS[0]]).data[0].embedding
    assert alone == pytest.approx(listed, abs=1e-5)


def test_nothing_to_embed(client: OpenAI, embedding: str) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.embeddings.create(model=embedding, input=[])
    assert refused.value.param == "input"


def test_an_unknown_model(client: OpenAI) -> None:
    with pytest.raises(NotFoundError):
        client.embeddings.create(model="nobody", input="x")
