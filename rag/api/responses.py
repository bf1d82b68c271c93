"""POST /v1/responses for assistants and the `file_search` tool."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request
from fastapi import Response as Reply

from praxis.config import Config
from rag.answer import grounding
from rag.answer.items import chat_request
from rag.answer.response import Response
from rag.api.answering import Answers
from rag.api.bodies import Body, pairs


def routes(answers: Answers, config_source: Callable[[], Config]) -> APIRouter:
    """The route. A request keeps the configuration that it began with."""
    router = APIRouter()

    @router.post("/v1/responses", summary="Answer from documents, with annotations")
    async def respond(request: Request, body: Body) -> Reply:
        metadata = pairs(body, "metadata", strings_only=True)
        asked = grounding.read(chat_request(body), config_source().assistants)
        return await answers.respond(request, asked, Response(asked.name, body | {"metadata": metadata}))

    return router
