"""A fake LightLLM 1.2: whatever `model` it is asked for, it answers; usage always; 422, 429 and bare-integer ids.

It follows LightLLM's source (2026-08), which runs on GPUs only, so no test can hold it against a real one.
"""

import itertools
import json
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from tests.fakes.engine import Answer, Engine, Seen, as_json, as_stream
from tests.fakes.faults import DONE, Script, sse
from tests.fakes.lightllm_checks import Invalid, Refused, TooLong, check_chat, check_completion, check_length
from tests.fakes.saying import Said, said
from tests.fakes.shapes import text_logprobs, usage

TYPES = {400: "BadRequestError", 404: "NotFoundError", 429: "RateLimitError", 500: "InternalServerError"}
MAX_NEW_TOKENS = 65536
GAUGES = ("queue_size", "batch_current_size", "batch_pause_size", "num_running_reqs", "batch_current_max_tokens",
          "cache_length", "cache_ratio", "cache_hit_rate", "gen_throughput")  # fmt: skip


def slashed(event: object) -> bytes:
    """A server-sent event as ujson writes it: with `\\/` for `/`."""
    return sse(event).replace(b"/", b"\\/")


def stream_error(message: str) -> bytes:
    """How LightLLM reports what goes wrong after the head."""
    return slashed({"error": {"message": message, "type": "server_error", "code": "stream_error"}})


class LightLLM(Engine):
    """A fake LightLLM that has loaded `model`; `says` are the tokens of every answer that is no tool's call."""

    idle = 10.0
    server = "hypercorn-h11"

    def __init__(
        self,
        model: str = "qwen",
        *,
        says: tuple[str, ...] = ("Overtime", " pay", " is", " 150%", "。"),
        thinks: tuple[str, ...] = (),
        held: bool = True,
        done_after_error: bool = True,
        output_constraint_mode: str = "none",
        max_req_total_len: int = 4096,
        script: Script | None = None,
    ) -> None:
        super().__init__(script=script)
        self.model = model
        self.says = says
        self.thinks = thinks
        self.held = held
        "response start delayed to the first token, as newer versions do; without it, a bad request may be a 200 too"
        self.done_after_error = done_after_error
        "`[DONE]` after an error event, as newer versions send it"
        self.output_constraint_mode = output_constraint_mode
        "`none` ignores `response_format`, as LightLLM does unless it is started with another"
        self.max_req_total_len = max_req_total_len
        self.healthy = True
        self.created = int(time.time())
        self._ids = itertools.count(8)

    def refusal(self, code: int, message: str) -> object:
        if code == 422:
            return Invalid("value_error", ("messages",), message, None).body
        kind = TYPES.get(code, "InternalServerError")
        return {"error": {"message": message, "type": kind, "param": None, "code": code}}

    def answer(self, request: Seen) -> Answer:
        routes = self._routes()
        if request.path not in routes:
            return as_json({"detail": "Not Found"}, 404)
        methods, serve = routes[request.path]
        if request.method not in methods:
            return as_json({"detail": "Method Not Allowed"}, 405)
        try:
            return serve(request)
        except Invalid as invalid:
            return as_json(invalid.body, 422)
        except Refused as refused:
            return as_json(self.refusal(400, str(refused)), 400)

    def _routes(self) -> dict[str, tuple[tuple[str, ...], Callable[[Seen], Answer]]]:
        both, ok = ("GET", "POST"), {"status": "ok"}
        health = (("GET", "HEAD"), lambda request: self._health(request))
        return {
            "/liveness": (both, lambda _: as_json(ok)),
            "/readiness": (both, lambda _: as_json(ok)),
            "/get_model_name": (both, lambda _: as_json({"model_name": self.model})),
            "/get_server_info": (both, lambda _: as_json(self._server_info())),
            "/get_weight_version": (both, lambda _: as_json({"weight_version": "default"})),
            "/health": health,
            "/healthz": health,
            "/token_load": (("GET",), lambda _: as_json(self._load())),
            "/tokens": (both, lambda request: self._tokens(request)),
            "/metrics": (("GET",), lambda _: self._metrics()),
            "/v1/models": (("GET",), lambda _: as_json({"object": "list", "data": [self._card()]})),
            "/v1/chat/completions": (("POST",), self._chat),
            "/v1/completions": (("POST",), self._completion),
        }

    # what it says of itself

    def _health(self, request: Seen) -> Answer:
        code = 200 if self.healthy else 503
        if request.method == "HEAD":
            return Answer(code, [])
        return as_json({"message": "Ok" if self.healthy else "Error"}, code)

    def _card(self) -> dict[str, Any]:
        return {
            "id": self.model, "object": "model", "created": self.created, "owned_by": "lightllm",
            "max_model_len": self.max_req_total_len,
        }  # fmt: skip

    def _server_info(self) -> dict[str, Any]:
        return {
            "model_dir": f"/models/{self.model}", "model_name": self.model, "model_owner": None, "tp": 1, "dp": 1,
            "max_req_total_len": self.max_req_total_len, "output_constraint_mode": self.output_constraint_mode,
            "disable_delay_response_start": not self.held,
        }  # fmt: skip

    def _load(self) -> dict[str, float]:
        load = self.running / 256
        return {"current_load": load, "logical_max_load": load, "dynamic_max_load": load}

    def _tokens(self, request: Seen) -> Answer:
        try:
            return as_json({"ntokens": len(json.loads(request.body)["text"].split())})
        except (ValueError, KeyError) as error:
            return as_json(self.refusal(417, f"error: {error}"), 417)

    def _metrics(self) -> Answer:
        counts = dict.fromkeys(GAUGES, 0.0) | {"num_running_reqs": float(self.running)}
        lines = [f'lightllm_{name}{{model_name="{self.model}"}} {value}' for name, value in counts.items()]
        return Answer(200, ["\n".join([*lines, ""]).encode()], ())

    # inference

    def _body(self, request: Seen) -> dict[str, Any]:
        try:
            body: dict[str, Any] = json.loads(request.body)
        except json.JSONDecodeError as error:
            raise Invalid("json_invalid", (str(error.pos),), "JSON decode error", {}) from error
        return body

    def _said(self, body: dict[str, Any]) -> Said:
        constrained = self.output_constraint_mode != "none"
        # `structured_outputs` is a field that LightLLM does not have.
        known = {key: value for key, value in body.items() if key != "structured_outputs"}
        return said(
            known,
            self.says,
            self.thinks,
            MAX_NEW_TOKENS,
            constrained=constrained,
            calls_tools=self.calls_tools,
        )

    def _stream(self, body: dict[str, Any], texts: list[str], events: Iterator[bytes]) -> Answer:
        """The events; or what admission finds wrong, which comes after the head unless that is delayed."""
        try:
            check_length(texts, self.max_req_total_len)
        except TooLong as long:
            if self.held:
                raise
            return as_stream([stream_error(str(long)), *([DONE] if self.done_after_error else [])])
        return as_stream(events, held=self.held)

    def _chat(self, request: Seen) -> Answer:
        body = self._body(request)
        check_chat(body)
        contents = [each.get("content") for each in body["messages"]]
        texts = [each for each in contents if isinstance(each, str)]
        answer = self._said(body)
        if body.get("stream"):
            return self._stream(body, texts, self._chat_events(body, answer))
        check_length(texts, self.max_req_total_len)
        calls = [
            {"id": f"call_{uuid.uuid4().hex[:24]}", "index": index, "type": "function",
             "function": {"name": call.name, "arguments": "".join(call.arguments)}}
            for index, call in enumerate(answer.calls)
        ]  # fmt: skip
        message = {
            "role": "assistant", "content": "".join(answer.words), "reasoning": "".join(answer.thinks),
            "reasoning_content": None, "tool_calls": calls or None,
        }  # fmt: skip
        choices = [
            {"index": index, "message": message, "finish_reason": _reason(answer)}
            for index in range(body.get("n") or 1)
        ]
        return as_json({
            "id": str(next(self._ids)), "object": "chat.completion", "created": int(time.time()),
            "model": body.get("model", "default"), "choices": choices, "usage": usage(body, answer),
        })  # fmt: skip

    def _chat_events(self, body: dict[str, Any], answer: Said) -> Iterator[bytes]:
        head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}", "object": "chat.completion.chunk", "created": int(time.time()),
            "model": body.get("model", "default"),
        }  # fmt: skip
        every = range(body.get("n") or 1)

        def event(
            delta: dict[str, Any], *nulls: str, reason: str | None = None, **root: Any
        ) -> Iterator[bytes]:
            for index in every:
                end = {"finish_reason": reason} if reason else {}
                choice = {"index": index, "delta": delta, **end, **dict.fromkeys(nulls)}
                yield slashed({**head, "choices": [choice], **root})

        middle = ("logprobs", "token_ids", "finish_reason")
        last = ("logprobs", "token_ids", "stop_reason")
        first = {"role": "assistant", "content": ""}
        yield from event(first, "logprobs", "finish_reason", prompt_token_ids=None)
        for token in answer.thinks:
            yield from event({"reasoning": token}, *middle)
        *words, final = answer.words or ("",)
        for word in words:
            yield from event({"content": word}, *middle)
        if answer.reason == "length":
            yield from event({"content": final}, *last, reason="length")
        elif final:
            yield from event({"content": final}, *middle)
        for call in _call_deltas(answer):
            yield from event({"tool_calls": [call]}, *middle)
        if answer.reason != "length":
            yield from event({}, *last, reason=_reason(answer))
        yield slashed({**head, "choices": [], "usage": usage(body, answer)})
        yield DONE

    def _completion(self, request: Seen) -> Answer:
        body = self._body(request)
        prompts = check_completion(body)
        texts = [each for each in prompts if isinstance(each, str)]
        answer = self._said({key: value for key, value in body.items() if key != "tools"})
        if body.get("stream"):
            return self._stream(body, texts, self._completion_events(body, answer))
        check_length(texts, self.max_req_total_len)
        # Several answers to one prompt end up in one text.
        text = "".join(answer.words) * (body.get("n") or 1)
        choices = [
            {"text": _echo(body, prompt) + text, "index": index,
             "logprobs": text_logprobs(body, answer.words), "finish_reason": answer.reason}
            for index, prompt in enumerate(prompts)
        ]  # fmt: skip
        batch = "batch-" if len(prompts) > 1 else ""
        return as_json({
            "id": f"cmpl-{batch}{uuid.uuid4().hex[:8]}", "object": "text_completion", "created": int(time.time()),
            "model": body["model"], "choices": choices, "usage": usage(body, answer),
        })  # fmt: skip

    def _completion_events(self, body: dict[str, Any], answer: Said) -> Iterator[bytes]:
        head = {
            "id": str(next(self._ids)), "object": "text_completion", "created": int(time.time()),
            "model": body["model"],
        }  # fmt: skip
        words = [*answer.words, *([""] if answer.reason == "stop" else [])]
        for number, word in enumerate(words, start=1):
            text = (_echo(body, body["prompt"]) if number == 1 else "") + word
            end = answer.reason if number == len(words) else None
            # The chosen tokens' probabilities are there for a whole reply only.
            probs = None if body.get("logprobs") is None else {}
            for index in range(body.get("n") or 1):
                choice = {"text": text, "index": index, "logprobs": probs, "finish_reason": end}
                yield slashed({**head, "choices": [choice], "usage": None})
        yield slashed({**head, "choices": [], "usage": usage(body, answer)})
        yield DONE


def _reason(answer: Said) -> str:
    """A named tool's call ends like any other's."""
    return "tool_calls" if answer.calls else answer.reason


def _call_deltas(answer: Said) -> Iterator[dict[str, Any]]:
    """A call's head, and its arguments in the three pieces that LightLLM makes of them."""
    for index, call in enumerate(answer.calls):
        yield {"id": f"call_{uuid.uuid4().hex[:24]}", "index": index, "type": "function",
               "function": {"name": call.name, "arguments": ""}}  # fmt: skip
        arguments = "".join(call.arguments)
        for piece in (arguments[0], arguments[1:-1], arguments[-1]):
            yield {"index": index, "function": {"arguments": piece}}


def _echo(body: dict[str, Any], prompt: Any) -> str:
    return str(prompt) if body.get("echo") else ""
