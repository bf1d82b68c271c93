"""What LightLLM refuses: FastAPI's own 422 for the wrong type, a 400 of its own for the few fields that it knows and lacks."""

from typing import Any

EFFORTS = ("low", "medium", "high")
FORMATS = ("text", "json_object", "json_schema")
CHOICES = ("auto", "required", "none")
NUMBERS = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "repetition_penalty")
INTEGERS = ("n", "max_tokens", "max_completion_tokens", "top_k", "seed", "best_of")


class Invalid(Exception):
    """What pydantic found wrong: FastAPI's own 422."""

    def __init__(self, kind: str, loc: tuple[str | int, ...], msg: str, given: object) -> None:
        super().__init__(msg)
        self.body = {"detail": [{"type": kind, "loc": ["body", *loc], "msg": msg, "input": given}]}


class Refused(Exception):
    """An error that LightLLM raises itself: a plain 400."""


class TooLong(Refused):
    """What only admission finds, after the head of a stream unless its start is delayed."""


def check_chat(body: dict[str, Any]) -> None:
    """What `/v1/chat/completions` refuses."""
    _require(body, "messages")
    if not isinstance(body["messages"], list):
        raise Invalid("list_type", ("messages",), "Input should be a valid list", body["messages"])
    _check_common(body)
    _literal(body.get("reasoning_effort"), EFFORTS, "reasoning_effort")
    choice = body.get("tool_choice")
    if not isinstance(choice, dict):
        _literal(choice, CHOICES, "tool_choice")
    if body.get("function_call", "none") not in ("none", None):
        raise Refused("The function call feature is not supported")
    parts = [
        part for each in body["messages"] if isinstance(each["content"], list) for part in each["content"]
    ]
    for part in parts:
        url = (part.get("image_url") or {}).get("url", "http://")
        if not url.startswith(("http://", "https://", "data:image")):
            raise Refused("Unrecognized image input. Supports local path, http url, base64, and PIL.Image.")


def check_completion(body: dict[str, Any]) -> list[Any]:
    """The prompts, or what `/v1/completions` refuses; there `model` has no default."""
    _require(body, "model", "prompt")
    _check_common(body)
    prompt = body["prompt"]
    if not prompt:
        raise Refused("Prompt cannot be empty")
    if body.get("suffix"):
        raise Refused("The suffix parameter is not currently supported")
    prompts = prompt if isinstance(prompt, list) and isinstance(prompt[0], str | list) else [prompt]
    if body.get("stream") and len(prompts) > 1:
        raise Refused("Streaming is not supported for batch requests")
    return prompts


def check_length(texts: list[str], most: int) -> None:
    """`max_new_tokens` is cut down to what fits; a prompt that leaves no room at all is refused."""
    tokens = sum(len(text.split()) for text in texts)
    if tokens >= most:
        raise TooLong(f"the input prompt token len {tokens} + max_new_tokens 65536 > {most}")


def _check_common(body: dict[str, Any]) -> None:
    if not isinstance(body.get("model", "default"), str):
        raise Invalid("string_type", ("model",), "Input should be a valid string", body["model"])
    for names, kinds, kind, word in (
        (NUMBERS, (int, float), "float_parsing", "number"),
        (INTEGERS, (int,), "int_parsing", "integer"),
    ):
        for name in names:
            given = body.get(name)
            if given is not None and not isinstance(given, kinds):
                message = f"Input should be a valid {word}, unable to parse string as a {word}"
                raise Invalid(kind, (name,), message, given)
    wanted = body.get("response_format")
    if wanted is not None:
        _literal(wanted.get("type"), FORMATS, "response_format", "type")
    if body.get("logit_bias") is not None:
        raise Refused("The logit_bias parameter is not currently supported")
    heat = body.get("temperature")
    if heat is not None and heat < 0:
        raise Refused(f"temperature must > 0.0, got {heat}")
    if (body.get("n") or 1) < 1:
        raise Refused(f"need 0 < n <= 8, n <= {body['n']}, but got {body['n']}")


def _require(body: dict[str, Any], *names: str) -> None:
    for name in names:
        if name not in body:
            raise Invalid("missing", (name,), "Field required", body)


def _literal(given: Any, known: tuple[str, ...], *loc: str) -> None:
    if given is not None and given not in known:
        quoted = [f"'{each}'" for each in known]
        message = f"Input should be {', '.join(quoted[:-1])} or {quoted[-1]}"
        raise Invalid("literal_error", loc, message, given)
