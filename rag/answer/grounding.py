"""What a chat request asks to be answered from: an assistant's knowledge, a `file_search` tool's stores, or both."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from praxis.config import Assistant
from praxis.errors import InvalidRequest

MOST_RESULTS = 50
_DEFAULT_RESULTS = 6


@dataclass(frozen=True, slots=True)
class FileSearch:
    """The tool `{"type": "file_search", …}` of a request; `filters` is as the client wrote it. `rewrite` says whether a
    follow-up question is rewritten before it is searched for."""

    store_ids: tuple[str, ...]
    limit: int = _DEFAULT_RESULTS
    min_score: float = 0.0
    filters: Any = None
    rewrite: bool = True


@dataclass(frozen=True, slots=True)
class Request:
    """A chat request that wants grounding; `body` is the client's own, `tools` what is left for the model."""

    body: Mapping[str, Any]
    name: str  # the model that was asked for
    messages: list[dict[str, Any]]
    stream: bool
    usage: bool  # the usage chunk of a stream
    assistant: Assistant | None
    search: FileSearch | None
    tools: list[Any]

    @property
    def structured(self) -> bool:
        """Whether the answer has a form of the client's own, which markers would break."""
        form = self.body.get("response_format")
        return isinstance(form, dict) and form.get("type") in ("json_object", "json_schema")

    @property
    def answer_tokens(self) -> int | None:
        """The longest answer wanted: the request's, else the assistant's."""
        for field in ("max_completion_tokens", "max_tokens"):
            if isinstance(value := self.body.get(field), int) and value > 0:
                return value
        return self.assistant.max_tokens if self.assistant else None

    @property
    def rewrite(self) -> bool:
        """Whether a follow-up question is to be rewritten before it is searched for."""
        return (self.assistant is None or self.assistant.rewrite) and (
            self.search is None or self.search.rewrite
        )

    @property
    def model(self) -> str:
        """The model that answers."""
        return self.assistant.model if self.assistant else self.name

    def for_model(self, messages: list[dict[str, Any]]) -> dict[str, Any]:
        """The body for the model itself: every field untouched but the model, the messages and what was grounding."""
        body = dict(self.body) | {"messages": messages}
        if self.assistant:
            body["model"] = self.model
            if self.assistant.max_tokens and not (
                body.get("max_tokens") or body.get("max_completion_tokens")
            ):
                body["max_tokens"] = self.assistant.max_tokens
        if self.search is None:
            return body
        if self.tools:
            body["tools"] = self.tools
        choice = body.get("tool_choice")
        if not self.tools or (isinstance(choice, dict) and choice.get("type") == "file_search"):
            body.pop("tool_choice", None)
        if not self.tools:
            body.pop("tools")
            body.pop("parallel_tool_calls", None)
        return body


def read(body: Any, assistants: Mapping[str, Assistant]) -> Request:
    """The grounding that `body` asks for. Raises InvalidRequest naming the field that is wrong."""
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    name = _field(body, "model", lambda value: isinstance(value, str) and bool(value), "a non-empty string")
    messages = _field(body, "messages", _is_messages, "a non-empty list of message objects")
    stream = _field(body, "stream", lambda value: value is None or isinstance(value, bool), "true or false")
    tools = _field(body, "tools", _is_tools, "a list of tool objects") or []
    if body.get("n") not in (None, 1):
        raise InvalidRequest(
            "An answer from documents is one answer: leave `n` out or set it to 1.", param="n"
        )
    options = body.get("stream_options")
    searches = [tool for tool in tools if tool.get("type") == "file_search"]
    if len(searches) > 1:
        raise InvalidRequest("Give one `file_search` tool with all `vector_store_ids`.", param="tools")
    assistant = assistants.get(name)
    if assistant is None and not searches:
        raise InvalidRequest(
            f"`{name}` is no assistant and the request has no `file_search` tool: nothing to answer from.",
            param="model",
        )
    return Request(
        body=body,
        name=name,
        messages=messages,
        stream=bool(stream),
        usage=isinstance(options, dict) and options.get("include_usage") is True,
        assistant=assistant,
        search=_file_search(searches[0]) if searches else None,
        tools=[tool for tool in tools if tool.get("type") != "file_search"],
    )


def _file_search(tool: Mapping[str, Any]) -> FileSearch:
    # The Assistants API nests the options under the tool's own name; the Responses API does not.
    options = {**(tool.get("file_search") or {}), **tool}
    ids = options.get("vector_store_ids")
    if not isinstance(ids, list) or not ids or not all(isinstance(each, str) for each in ids):
        raise InvalidRequest(
            "`file_search` needs `vector_store_ids`, a list of at least one id.", param="tools"
        )
    limit = options.get("max_num_results")
    if limit is None:
        limit = _DEFAULT_RESULTS
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST_RESULTS:
        raise InvalidRequest(f"`max_num_results` must be 1 to {MOST_RESULTS}.", param="tools")
    threshold = (options.get("ranking_options") or {}).get("score_threshold") or 0.0
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or not 0 <= threshold <= 1:
        raise InvalidRequest("`ranking_options.score_threshold` must be 0 to 1.", param="tools")
    rewrite = options.get("rewrite_query") is not False
    return FileSearch(tuple(dict.fromkeys(ids)), limit, float(threshold), options.get("filters"), rewrite)


def _field(body: Mapping[str, Any], name: str, valid: Callable[[Any], bool], form: str) -> Any:
    value = body.get(name)
    if not valid(value):
        raise InvalidRequest(f"`{name}` must be {form}.", param=name)
    return value


def _is_messages(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, dict) for each in value)


def _is_tools(value: Any) -> bool:
    return value is None or (isinstance(value, list) and all(isinstance(each, dict) for each in value))
