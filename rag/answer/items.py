"""A request of the Responses API as the chat request that asks the same: its items are turns, its tools are nested."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from praxis.errors import InvalidRequest
from rag.answer.context import message_text

Message = dict[str, Any]

_OWN = frozenset(
    [
        "background",
        "context_management",
        "conversation",
        "include",
        "input",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "metadata",
        "moderation",
        "previous_response_id",
        "prompt",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning",
        "safety_identifier",
        "service_tier",
        "store",
        "stream_options",
        "text",
        "top_logprobs",
        "truncation",
    ]
)
"""Fields that chat lacks or knows by another name or form; all others reach the model as they are."""

_UNSAID = frozenset({"file_search_call", "reasoning"})
"""Items of an earlier answer that say nothing to the model: its passages are looked for anew."""

_LOGPROBS = "message.output_text.logprobs"


def chat_request(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body of the chat request; `body` has no nulls. Raises InvalidRequest naming the field that is wrong."""
    chat = {name: value for name, value in body.items() if name not in _OWN}
    chat["messages"] = _messages(body)
    if body.get("stream"):
        chat["stream_options"] = {"include_usage": True}
    if (longest := body.get("max_output_tokens")) is not None:
        if isinstance(longest, bool) or not isinstance(longest, int) or longest < 1:
            raise InvalidRequest(
                "`max_output_tokens` must be a whole number from 1.", param="max_output_tokens"
            )
        chat["max_completion_tokens"] = longest
    if (effort := _object(body, "reasoning").get("effort")) is not None:
        chat["reasoning_effort"] = effort
    if (form := _response_format(_object(body, "text").get("format"))) is not None:
        chat["response_format"] = form
    chat.pop("tools", None)
    if tools := _list(body, "tools"):
        chat["tools"] = [_tool(each) for each in tools]
    if isinstance(choice := body.get("tool_choice"), dict):
        chat["tool_choice"] = _tool_choice(choice)
    include = _list(body, "include")
    if _LOGPROBS in include or body.get("top_logprobs"):
        raise InvalidRequest(
            "An answer from documents has no log probabilities: leave out `top_logprobs` and "
            f"`{_LOGPROBS}` of `include`.",
            param="include" if _LOGPROBS in include else "top_logprobs",
        )
    return chat


def _messages(body: Mapping[str, Any]) -> list[Message]:
    given, instructions = body.get("input"), body.get("instructions", "")
    if not isinstance(instructions, str):
        raise InvalidRequest("`instructions` must be a string.", param="instructions")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else given
    if not isinstance(items, list) or not all(isinstance(each, dict) for each in items):
        raise InvalidRequest("`input` must be a string or a list of items.", param="input")
    messages: list[Message] = [{"role": "system", "content": instructions}] if instructions.strip() else []
    for item in items:
        _append(messages, {name: value for name, value in item.items() if value is not None})
    asked = [each for each in messages if each["role"] == "user"]
    if not asked or not message_text(asked[-1]).strip():
        raise InvalidRequest(
            "An answer from documents needs a question: the last item of the user's in `input` has no text.",
            param="input",
        )
    return messages


def _append(messages: list[Message], item: Mapping[str, Any]) -> None:
    """Add what `item` says to the conversation."""
    kind = item.get("type", "message" if "role" in item else None)
    if kind == "message":
        messages.append(_message(item))
    elif kind == "function_call":
        function = {"name": item.get("name", ""), "arguments": item.get("arguments", "{}")}
        call = {"id": item.get("call_id", ""), "type": "function", "function": function}
        if not messages or messages[-1]["role"] != "assistant":
            messages.append({"role": "assistant", "content": ""})
        messages[-1].setdefault("tool_calls", []).append(call)
    elif kind == "function_call_output":
        content = _content(item.get("output", ""))
        messages.append({"role": "tool", "tool_call_id": item.get("call_id", ""), "content": content})
    elif kind == "item_reference":
        raise InvalidRequest(
            "No response is kept here, so that none of its items can be referred to: send the item itself.",
            param="input",
        )
    elif kind not in _UNSAID:
        raise InvalidRequest(
            f"`input` has an item of the type `{kind}`, which no answer here is made of.", param="input"
        )


def _message(item: Mapping[str, Any]) -> Message:
    role = item.get("role")
    if role not in ("user", "assistant", "system", "developer"):
        raise InvalidRequest(
            f"`input` has a message of the role `{role}`, which there is not.", param="input"
        )
    return {"role": "system" if role == "developer" else role, "content": _content(item.get("content", ""))}


def _content(given: Any) -> str | list[dict[str, Any]]:
    """Text where that is all, else chat's parts."""
    if isinstance(given, str):
        return given
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise InvalidRequest("The `content` of a message must be a string or a list of parts.", param="input")
    parts = [_part(each) for each in given]
    if all(each["type"] == "text" for each in parts):
        return "\n".join(each["text"] for each in parts)
    return parts


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text", "refusal"):
        text = part.get("refusal" if kind == "refusal" else "text")
        return {"type": "text", "text": text if isinstance(text, str) else ""}
    if kind == "input_image" and isinstance(part.get("image_url"), str):
        image = {"url": part["image_url"]} | ({"detail": part["detail"]} if part.get("detail") else {})
        return {"type": "image_url", "image_url": image}
    if kind in ("input_file", "input_image"):
        raise InvalidRequest(
            f"`input` has an `{kind}` of a stored file: put documents into a vector store, which `file_search` reads, and "
            "send images as a `data:` URL in `image_url`.",
            param="input",
        )
    raise InvalidRequest(
        f"`input` has a part of the type `{kind}`, which no answer here is made of.", param="input"
    )


def _tool(tool: Any) -> Any:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if kind == "file_search":
        return tool
    if kind == "function":
        return {"type": "function", "function": {name: tool[name] for name in tool if name != "type"}}
    raise InvalidRequest(
        f"`tools` has one of the type `{kind}`; here there are `file_search` and `function`.", param="tools"
    )


def _tool_choice(choice: Mapping[str, Any]) -> dict[str, Any]:
    if choice.get("type") == "file_search":
        return dict(choice)
    if choice.get("type") == "function":
        return {"type": "function", "function": {"name": choice.get("name")}}
    raise InvalidRequest(
        "`tool_choice` must be `none`, `auto`, `required`, or name `file_search` or a function.",
        param="tool_choice",
    )


def _response_format(given: Any) -> dict[str, Any] | None:
    if not isinstance(given, dict) or given.get("type") == "text":
        return None
    if given.get("type") == "json_schema":
        schema = {name: value for name, value in given.items() if name != "type" and value is not None}
        return {"type": "json_schema", "json_schema": schema}
    return given


def _object(body: Mapping[str, Any], name: str) -> dict[str, Any]:
    return dict(_typed(body, name, {}, lambda value: isinstance(value, dict), "an object"))


def _list(body: Mapping[str, Any], name: str) -> list[Any]:
    return list(_typed(body, name, [], lambda value: isinstance(value, list), "a list"))


def _typed(body: Mapping[str, Any], name: str, silent: Any, valid: Callable[[Any], bool], form: str) -> Any:
    value = body.get(name, silent)
    if not valid(value):
        raise InvalidRequest(f"`{name}` must be {form}.", param=name)
    return value
