"""Errors as the SDK raises them: the right class, a message that helps, and never a retry that cannot."""

import os
import secrets
from typing import Any

import pytest
from openai import (
    AuthenticationError,
    BadRequestError,
    ConflictError,
    NotFoundError,
    OpenAI,
    PermissionDeniedError,
)

MESSAGES: Any = [{"role": "user", "content": "hi"}]
STREAM = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


@STREAM
def test_a_wrong_key(base_url: str, model: str, stream: bool) -> None:
    stranger = OpenAI(base_url=base_url, api_key="sk-praxis-stranger", max_retries=0)
    with pytest.raises(AuthenticationError) as refused:
        stranger.chat.completions.create(model=model, messages=MESSAGES, stream=stream)
    assert refused.value.type == "authentication_error"
    assert "stranger" not in str(refused.value)


@STREAM
def test_an_unknown_model(client: OpenAI, model: str, stream: bool) -> None:
    with pytest.raises(NotFoundError) as refused:
        client.chat.completions.create(model="nobody", messages=MESSAGES, stream=stream)
    assert (refused.value.code, refused.value.param) == ("model_not_found", "model")
    assert model in str(refused.value)
    assert refused.value.request_id


@STREAM
@pytest.mark.parametrize("messages", ["hi", None, 3], ids=repr)
def test_messages_that_are_none(client: OpenAI, model: str, stream: bool, messages: Any) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.chat.completions.create(model=model, messages=messages, stream=stream)
    assert refused.value.type == "invalid_request_error"
    if isinstance(messages, str):
        assert "messages" in str(refused.value)


@pytest.mark.parametrize("name", ["", None, 3], ids=repr)
def test_a_model_that_is_no_name(client: OpenAI, name: Any) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.chat.completions.create(model=name, messages=MESSAGES)
    assert refused.value.param == "model"


def test_a_path_that_is_not_there(client: OpenAI) -> None:
    with pytest.raises(NotFoundError) as refused:
        client.get("/nowhere", cast_to=object)
    assert "nowhere" in str(refused.value)


def test_the_operator_s_api_is_not_for_users(client: OpenAI, base_url: str) -> None:
    root = base_url.removesuffix("/v1")
    with pytest.raises(PermissionDeniedError):
        client.get(f"{root}/admin/v1/adapters", cast_to=object)


if admin_key := os.environ.get("PRAXIS_TEST_ADMIN_KEY"):

    def test_a_conflict_is_not_tried_again(base_url: str) -> None:
        operator = OpenAI(base_url=base_url.removesuffix("/v1"), api_key=str(admin_key), max_retries=2)
        key = {"name": f"twice-{secrets.token_hex(4)}"}
        operator.post("/admin/v1/keys", body=key, cast_to=object)
        try:
            with pytest.raises(ConflictError) as refused:
                operator.post("/admin/v1/keys", body=key, cast_to=object)
            assert refused.value.response.headers["x-should-retry"] == "false"
            assert refused.value.response.request.headers["x-stainless-retry-count"] == "0"
        finally:
            operator.delete(f"/admin/v1/keys/{key['name']}", cast_to=object)
