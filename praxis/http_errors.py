"""One error shape for every FastAPI surface: whatever goes wrong, the client reads the OpenAI form."""

from __future__ import annotations

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import OperationalError
from starlette.exceptions import HTTPException

from praxis.errors import InternalError, InvalidRequest, NotFound, Overloaded, PraxisError

logger = logging.getLogger("praxis.http")


def _render(error: PraxisError) -> JSONResponse:
    return JSONResponse(error.body(), status_code=error.status, headers=error.headers())


async def _praxis(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, PraxisError)
    return _render(error)


async def _validation(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"] if part not in ("body", "query", "path"))
    where = f"`{field}`: " if field else ""
    # What our own validators say comes with pydantic's name for it.
    message = first["msg"].removeprefix("Value error, ").removesuffix(".")
    return _render(InvalidRequest(f"{where}{message[:1].upper()}{message[1:]}.", param=field or None))


async def _http(request: Request, error: Exception) -> JSONResponse:
    """Starlette's own answers (no such path, wrong method) in the one shape."""
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.NOT_FOUND:
        return _render(NotFound(f"There is no `{request.method} {request.url.path}` here; see `/docs`."))
    response = _render(InvalidRequest(f"`{request.method} {request.url.path}`: {error.detail}."))
    response.status_code = error.status_code
    response.headers.update(error.headers or {})
    return response


async def _database(request: Request, error: Exception) -> JSONResponse:
    """The database is gone, locked or full: the client's request was right, and may be right later."""
    logger.error("database", extra={"path": request.url.path}, exc_info=error)
    return _render(
        Overloaded("The database does not answer; ask again shortly.", code="no_database", retry_after=2)
    )


async def _uncaught(request: Request, error: Exception) -> JSONResponse:
    request_id = request.headers.get("x-request-id", "")
    logger.error("uncaught", extra={"path": request.url.path, "request_id": request_id}, exc_info=error)
    return _render(InternalError("Praxis failed on this request; its log has the details."))


def install(app: FastAPI) -> None:
    """Give `app` handlers so that every error leaves it as `{"error": {message, type, param, code}}`."""
    app.add_exception_handler(PraxisError, _praxis)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(OperationalError, _database)
    app.add_exception_handler(Exception, _uncaught)
