"""Engines that fail, as the SDK raises it: the class that the status stands for, after as many attempts as make sense."""

import os
import time
from typing import Any

import openai
import pytest
from openai import OpenAI

QUESTION: Any = [{"role": "user", "content": "How is overtime paid?"}]
FAILING = [tuple(each.split("=")) for each in os.environ["PRAXIS_TEST_FAILING"].split()]
CLASSES = {
    "400": (openai.BadRequestError, "invalid_request_error"),
    "429": (openai.RateLimitError, "rate_limit_error"),
    "502": (openai.InternalServerError, "upstream_error"),
    "503": (openai.InternalServerError, "overloaded_error"),
}
STREAM = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


@STREAM
@pytest.mark.parametrize(("model", "status"), FAILING, ids=[f"{model}-{status}" for model, status in FAILING])
def test_the_class_says_what_happened(client: OpenAI, model: str, status: str, stream: bool) -> None:
    kind, error = CLASSES[status]
    with pytest.raises(kind) as failed:
        client.chat.completions.create(model=model, messages=QUESTION, stream=stream)
    assert failed.value.status_code == int(status)
    assert failed.value.type == error
    assert failed.value.request_id
    assert str(failed.value).strip() != f"Error code: {status}", "the message reaches the client"


@pytest.mark.parametrize(("model", "status"), FAILING, ids=[f"{model}-{status}" for model, status in FAILING])
def test_it_is_tried_again_where_that_may_help_and_not_sooner_than_it_is_said(
    client: OpenAI, model: str, status: str
) -> None:
    kind, _ = CLASSES[status]
    began = time.monotonic()
    with pytest.raises(kind) as failed:
        client.with_options(max_retries=1).chat.completions.create(model=model, messages=QUESTION)
    again = status != "400"
    assert failed.value.response.request.headers["x-stainless-retry-count"] == str(int(again))
    if wait := failed.value.response.headers.get("retry-after"):
        assert time.monotonic() - began >= float(wait)
    assert bool(wait) == (status in ("429", "503"))
