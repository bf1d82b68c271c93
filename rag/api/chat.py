"""POST /v1/chat/completions for assistants and the `file_search` tool."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request, Response

from praxis.config import Config
from praxis.errors import InvalidRequest
from rag.answer import grounding
from rag.answer.completion import Completion
from rag.api.answering import Answers


def routes(answers: Answers, config_source: Callable[[], Config]) -> APIRouter:
    """The route. A request keeps the configuration that it began with."""
    router = APIRouter()

    @router.post("/v1/chat/completions", summary="Answer from documents, with citations")
    async def chat(request: Request) -> Response:
        try:
            body = await request.json()
        except ValueError as error:
            raise InvalidRequest("The body is not JSON.") from error
        asked = grounding.read(body, config_source().assistants)
        return await answers.respond(request, asked, Completion(asked.name, asked.usage))

    return router
