"""What vLLM refuses, in its own words."""

import re
from dataclasses import dataclass
from typing import Any

EFFORTS = "'none', 'minimal', 'low', 'medium', 'high', 'xhigh' or 'max'"
KINDS = {"string", "integer", "number", "boolean", "array", "object", "null"}


@dataclass(frozen=True, slots=True)
class Refused(Exception):
    """What vLLM answers instead."""

    code: int
    kind: str
    message: str
    param: str | None = None

    def body(self) -> dict[str, Any]:
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


def invalid(kind: str, loc: str, msg: str, given: str, extra: str = "") -> Refused:
    """What pydantic finds wrong."""
    quoted = f'"{msg}"' if "'" in msg else f"'{msg}'"
    text = f"1 validation error:\n  {{'type': '{kind}', 'loc': 'body.{loc}', 'msg': {quoted}, 'input': {given}{extra}}}"
    return Refused(400, "Bad Request", text, f"body.{loc}")


def bad(message: str, param: str | None = None) -> Refused:
    """What vLLM's own checks find wrong."""
    return Refused(400, "BadRequestError", f"{message} (parameter={param})" if param else message, param)


def masked(path: str) -> str:
    """A path as vLLM lets it stand in an error: those below the usual roots are hidden."""
    return re.sub(r"/(?:home|usr|opt|var|tmp|root|lib|mnt|srv)(?:/[\w.\-]+)+", "<path>", path)


def require(body: dict[str, Any], *names: str) -> None:
    """Refuse a body without one of these fields."""
    for name in names:
        if name not in body:
            raise invalid("missing", name, "Field required", f"'<dict of {len(body)} items>'")


def check_sampling(body: dict[str, Any], max_model_len: int) -> None:
    """What chat and completions have in common."""
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    if limit is not None and limit > max_model_len:
        message = (
            f"max_tokens={limit} cannot be greater than max_model_len={max_model_len}. "
            f"Please request fewer output tokens. (parameter=max_tokens, value={limit})"
        )
        raise Refused(400, "BadRequestError", message, "max_tokens")
    heat = body.get("temperature")
    if isinstance(heat, str):
        message = "Input should be a valid number, unable to parse string as a number"
        raise invalid("float_parsing", "temperature", message, f"'{heat}'")
    if heat is not None and heat < 0:
        heat = float(heat)
        message = f"temperature must be non-negative, got {heat}. (parameter=temperature, value={heat})"
        raise Refused(400, "BadRequestError", message, "temperature")
    _check_count(body, heat)
    if body.get("stream_options") and not body.get("stream"):
        raise bad("Stream options can only be defined when `stream=True`.", "stream_options")
    _check_format(body.get("response_format"))


def _check_count(body: dict[str, Any], heat: float | None) -> None:
    count = body.get("n")
    if isinstance(count, str):
        message = "Input should be a valid integer, unable to parse string as an integer"
        raise invalid("int_parsing", "n", message, f"'{count}'")
    if count is not None and count < 1:
        raise bad(f"n must be at least 1, got {count}.")
    if count is not None and count > 1 and heat == 0:
        raise bad(f"n must be 1 when using greedy sampling, got {count}.")


def _check_format(wanted: Any) -> None:
    if wanted and wanted["type"] == "json_schema" and not wanted.get("json_schema"):
        message = "When response_format type is 'json_schema', the 'json_schema' field must be provided."
        raise bad(message, "response_format")


def check_chat(body: dict[str, Any], model: str, max_model_len: int, *, multimodal: bool) -> None:
    """What chat alone refuses."""
    if not isinstance(body["messages"], list | str):
        raise bad(f"'{type(body['messages']).__name__}' object is not iterable")
    if isinstance(body["messages"], str):
        raise invalid("list_type", "messages", "Input should be a valid list", f"'{body['messages']}'")
    _check_logprobs(body)
    _check_tools(body)
    kwargs = body.get("chat_template_kwargs")
    if kwargs is not None and not isinstance(kwargs, dict):
        raise invalid(
            "dict_type", "chat_template_kwargs", "Input should be a valid dictionary", f"'{kwargs}'"
        )
    effort = body.get("reasoning_effort")
    if effort is not None and f"'{effort}'" not in EFFORTS:
        extra = f", 'ctx': {{'expected': \"{EFFORTS}\"}}"
        raise invalid("literal_error", "reasoning_effort", f"Input should be {EFFORTS}", f"'{effort}'", extra)
    parts = [
        part for each in body["messages"] if isinstance(each.get("content"), list) for part in each["content"]
    ]
    if not multimodal and any(part.get("type") == "image_url" for part in parts):
        raise bad(f"{model} is not a multimodal model")
    texts = [each["content"] for each in body["messages"] if isinstance(each.get("content"), str)]
    if sum(len(text.split()) for text in texts) > max_model_len:
        least = max_model_len + 1
        message = (
            f"This model's maximum context length is {max_model_len} tokens. However, your prompt contains at least "
            f"{least} input tokens, which exceeds this limit even without any output tokens. Please reduce the length "
            f"of the input prompt. (parameter=input_tokens, value={least})"
        )
        raise Refused(400, "BadRequestError", message, "input_tokens")


def check_grammar(body: dict[str, Any]) -> None:
    """What only the engine's core refuses: for a stream that is after the head."""
    schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema") or {}
    kind = schema.get("type", "object")
    if kind not in KINDS:
        raise bad(f"Grammar error: Invalid type: {kind}")


def _check_logprobs(body: dict[str, Any]) -> None:
    best = body.get("top_logprobs")
    if best and not body.get("logprobs"):
        raise bad("when using `top_logprobs`, `logprobs` must be set to true.", "top_logprobs")
    if best and best > 20:
        message = f"Requested sample logprobs of {best}, which is greater than max allowed: 20"
        raise Refused(400, "BadRequestError", f"{message} (parameter=logprobs, value={best})", "logprobs")


def _check_tools(body: dict[str, Any]) -> None:
    tools, choice = body.get("tools"), body.get("tool_choice")
    if tools == []:
        message = (
            "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely."
        )
        raise bad(message, "tools")
    if tools is not None and not isinstance(tools, list):
        raise invalid("list_type", "tools", "Input should be a valid list", f"'{tools}'")
    if choice is None or choice == "none":
        return
    if not tools:
        raise bad("When using `tool_choice`, `tools` must be set.", "tool_choice")
    if not isinstance(choice, dict) and choice not in ("auto", "required"):
        message = (
            f'Invalid value for `tool_choice`: {choice}! Only named tools, "none", "auto" or "required" '
            "are supported."
        )
        raise bad(message, "tool_choice")
    names = [tool["function"]["name"] for tool in tools]
    if isinstance(choice, dict) and choice["function"]["name"] not in names:
        message = "The tool specified in `tool_choice` does not match any of the specified `tools`"
        raise bad(message, "tool_choice")
