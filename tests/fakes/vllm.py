"""A fake vLLM: its HTTP surface, texts and statuses as vLLM 0.32 gives them. `tests/chain/test_fake_vllm.py` holds it to that.

It says the same few tokens whatever it is asked, so that a test knows who answered. Adapters are loaded for real as far as
HTTP goes: the folder must exist, its rank must fit, and each name answers once loaded.
"""

import json
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.fakes import responses
from tests.fakes.engine import Answer, Engine, Seen, as_json, as_stream, as_text
from tests.fakes.faults import DONE, Headers, Script, sse
from tests.fakes.saying import Said, said
from tests.fakes.shapes import PROMPT_TOKENS, chat_logprobs, embeddings, spoken, text_logprobs
from tests.fakes.vllm_checks import (
    Refused,
    check_chat,
    check_grammar,
    check_sampling,
    invalid,
    masked,
    require,
)

Serve = Callable[[Seen], Answer]

FINGERPRINT = "vllm-0.32.0-a4c31d47"
TYPES = {
    400: "BadRequestError",
    404: "NotFoundError",
    500: "InternalServerError",
    503: "ServiceUnavailableError",
}


class VLLM(Engine):
    """A fake vLLM that serves `model`; `says` are the tokens of every answer that is neither JSON nor a tool's call.

    It stands for an engine with a tool parser; with `thinks`, for one with a reasoning parser too.
    """

    def __init__(
        self,
        model: str = "qwen",
        *,
        says: tuple[str, ...] = ("Overtime", " pay", " is", " 150%", "。"),
        thinks: tuple[str, ...] = (),
        api_key: str | None = None,
        adapters: bool = True,
        max_lora_rank: int = 16,
        max_model_len: int = 2048,
        multimodal: bool = True,
        embeds: int | None = None,
        script: Script | None = None,
    ) -> None:
        super().__init__(script=script)
        self.model = model
        self.says = says
        self.thinks = thinks
        self.api_key = api_key
        self.adapters = adapters
        self.max_lora_rank = max_lora_rank
        self.max_model_len = max_model_len
        self.multimodal = multimodal
        self.embeds = embeds
        "dimensions, when this engine serves an embedding model"
        self.waiting = 0
        "requests that wait in the engine, as its metrics tell"
        self.loaded: dict[str, str] = {}
        "adapters by name, each with its folder"
        self.tuned: dict[str, tuple[str, ...]] = {}
        "what adapters say instead, by the name of their folder"
        self.next_says: deque[tuple[str, ...]] = deque()
        "what the next answers say instead, one each"
        self.load_seconds = 0.0
        "how long a load stops the whole engine, as it does the real one"
        self.may_load = threading.Event()
        "while it is cleared, a load stops the whole engine until it is set"
        self.may_load.set()

    def __exit__(self, *ended: Any) -> None:
        self.may_load.set()
        super().__exit__(*ended)

    def refusal(self, code: int, message: str) -> object:
        if code == 401:
            return {"error": "Unauthorized"}
        return Refused(code, TYPES.get(code, "BadRequestError"), message).body()

    def answer(self, request: Seen) -> Answer:
        guarded = request.path.startswith("/v1") and self.api_key is not None
        if guarded and request.header("authorization") != f"Bearer {self.api_key}":
            return as_json(self.refusal(401, ""), 401)
        routes = self._routes()
        if request.path not in routes:
            return as_json({"detail": "Not Found"}, 404)
        method, serve = routes[request.path]
        if request.method != method:
            return as_json({"detail": "Method Not Allowed"}, 405, headers=(("allow", method),))
        try:
            return serve(request)
        except Refused as refused:
            return as_json(refused.body(), refused.code)

    def _routes(self) -> dict[str, tuple[str, Serve]]:
        routes: dict[str, tuple[str, Serve]] = {
            "/health": ("GET", lambda _: as_text("")),
            "/version": ("GET", lambda _: as_json({"version": "0.32.0"})),
            "/load": ("GET", lambda _: as_json({"server_load": self.running})),
            "/metrics": ("GET", lambda _: self._metrics()),
            "/v1/models": ("GET", lambda _: as_json(self._models())),
        }
        if self.embeds is None:
            routes["/v1/chat/completions"] = ("POST", self._chat)
            routes["/v1/completions"] = ("POST", self._completion)
            routes[responses.PATH] = ("POST", self._response)
        else:
            routes["/v1/embeddings"] = ("POST", self._embeddings)
        if self.adapters:
            routes["/v1/load_lora_adapter"] = ("POST", self._load)
            routes["/v1/unload_lora_adapter"] = ("POST", self._unload)
        return routes

    # models and adapters

    def _models(self) -> dict[str, Any]:
        cards = [self._card(self.model, f"/models/{self.model}", None, self.max_model_len)]
        cards += [self._card(name, folder, self.model, None) for name, folder in self.loaded.items()]
        return {"object": "list", "data": cards}

    def _card(self, name: str, root: str, parent: str | None, length: int | None) -> dict[str, Any]:
        created = int(time.time())
        permission = {
            "id": f"modelperm-{secrets.token_hex(8)}", "object": "model_permission", "created": created,
            "allow_create_engine": False, "allow_sampling": True, "allow_logprobs": True,
            "allow_search_indices": False, "allow_view": True, "allow_fine_tuning": False,
            "organization": "*", "group": None, "is_blocking": False,
        }  # fmt: skip
        return {
            "id": name, "object": "model", "created": created, "owned_by": "vllm", "root": root,
            "parent": parent, "max_model_len": length, "permission": [permission],
        }  # fmt: skip

    def _load(self, request: Seen) -> Answer:
        body = self._body(request)
        require(body, "lora_name", "lora_path")
        name, folder = body["lora_name"], body["lora_path"]
        if not name or not folder:
            raise Refused(400, "InvalidUserInput", "Both 'lora_name' and 'lora_path' must be provided.")
        if name == self.model:
            message = f"The lora adapter '{name}' conflicts with a served base model."
            raise Refused(400, "InvalidUserInput", message)
        if name in self.loaded and not body.get("load_inplace"):
            message = (
                f"The lora adapter '{name}' has already been loaded. If you want to load the adapter in place, "
                "set 'load_inplace' to True."
            )
            raise Refused(400, "InvalidUserInput", message)
        config = Path(folder) / "adapter_config.json"
        if not config.is_file():
            message = f"Loading lora {name} failed: No adapter found for {masked(folder)}"
            raise Refused(404, "NotFoundError", message)
        rank = json.loads(config.read_text())["r"]
        if rank > self.max_lora_rank:
            message = (
                f"Call to add_lora method failed: Worker failed with error 'LoRA rank {rank} is greater than "
                f"max_lora_rank {self.max_lora_rank}.', please check the stack trace above for the root cause"
            )
            raise Refused(500, "InternalServerError", message)
        time.sleep(self.load_seconds)
        self.may_load.wait()
        self.loaded[name] = folder
        return as_text(f"Success: LoRA adapter '{name}' added successfully.")

    def _unload(self, request: Seen) -> Answer:
        body = self._body(request)
        require(body, "lora_name")
        name = body["lora_name"]
        if not name:
            message = "'lora_name' needs to be provided to unload a LoRA adapter."
            raise Refused(400, "InvalidUserInput", message)
        if self.loaded.pop(name, None) is None:
            raise Refused(404, "NotFoundError", f"The lora adapter '{name}' cannot be found.")
        return as_text(f"Success: LoRA adapter '{name}' removed successfully.")

    # inference

    def _body(self, request: Seen) -> dict[str, Any]:
        if (request.header("content-type") or "").split(";")[0] != "application/json":
            message = "1 validation error:\n  Unsupported Media Type: Only 'application/json' is allowed"
            raise Refused(400, "Bad Request", message)
        try:
            body: dict[str, Any] = json.loads(request.body)
        except json.JSONDecodeError as error:
            extra = f", 'ctx': {{'error': '{error.msg}'}}"
            given = "'<dict of 0 items>'"
            raise invalid("json_invalid", str(error.pos), "JSON decode error", given, extra) from error
        return body

    def _model(self, body: dict[str, Any]) -> str:
        name = body.get("model")
        if name is not None and not isinstance(name, str):
            raise invalid("string_type", "model", "Input should be a valid string", f"'{name}'")
        if name and name != self.model and name not in self.loaded:
            message = f"The model `{name}` does not exist. Valid aliases: {self.model}."
            raise Refused(404, "NotFoundError", message, "model")
        return name or self.model

    def _said(self, body: dict[str, Any]) -> Said:
        folder = Path(self.loaded.get(body.get("model") or "", ""))
        says = self.next_says.popleft() if self.next_says else self.tuned.get(folder.name, self.says)
        return said(body, says, self.thinks, self.max_model_len, calls_tools=self.calls_tools)

    def _chat(self, request: Seen) -> Answer:
        body = self._body(request)
        require(body, "messages")
        check_chat(body, self.model, self.max_model_len, multimodal=self.multimodal)
        model = self._model(body)
        check_sampling(body, self.max_model_len)
        if not body["messages"]:
            message = "Cannot apply chat template to an empty conversation. Provide at least one message."
            raise Refused(400, "BadRequestError", message)
        name = "chatcmpl-" + (request.header("x-request-id") or secrets.token_hex(8))
        answer = self._said(body)
        if body.get("stream"):
            return as_stream(self._chat_events(name, model, body, answer))
        check_grammar(body)
        message = self._message(answer)
        choices = [
            {"index": index, "message": message, "logprobs": chat_logprobs(body, answer.words),
             "finish_reason": answer.reason, "stop_reason": None, "token_ids": None, "routed_experts": None}
            for index in range(body.get("n") or 1)
        ]  # fmt: skip
        return as_json({
            "id": name, "object": "chat.completion", "created": int(time.time()), "model": model,
            "choices": choices, "service_tier": None, "system_fingerprint": FINGERPRINT,
            "usage": {"completion_tokens_details": None} | self._usage(body, answer) | {"prompt_tokens_details": None},
            "prompt_logprobs": None, "prompt_token_ids": None, "prompt_text": None,
            "kv_transfer_params": None, "ec_transfer_params": None, "metrics": None,
        })  # fmt: skip

    def _message(self, answer: Said) -> dict[str, Any]:
        calls = [
            {"id": "chatcmpl-tool-" + secrets.token_hex(8), "type": "function",
             "function": {"name": call.name, "arguments": "".join(call.arguments)}}
            for call in answer.calls
        ]  # fmt: skip
        content = None if calls and answer.reason == "tool_calls" else "".join(answer.words)
        return {
            "role": "assistant", "content": content, "refusal": None, "annotations": None, "audio": None,
            "function_call": None, **({"tool_calls": calls} if calls else {}),
            "reasoning": "".join(answer.thinks) or None,
        }  # fmt: skip

    def _chat_events(self, name: str, model: str, body: dict[str, Any], answer: Said) -> Iterator[bytes]:
        try:
            check_grammar(body)
        except Refused as refused:
            # What goes wrong after the head is written by another serialiser.
            yield b"data: " + json.dumps(refused.body()).encode() + b"\n\n"
            yield DONE
            return
        head = {"id": name, "object": "chat.completion.chunk", "created": int(time.time()), "model": model}
        options = body.get("stream_options") or {}
        every = range(body.get("n") or 1)
        running = {"completion_tokens_details": None} | self._usage(body, answer)
        usage = {"usage": running} if options.get("continuous_usage_stats") else {}
        for index in every:
            first = {"index": index, "delta": {"role": "assistant", "content": ""}, "logprobs": None,
                     "finish_reason": None}  # fmt: skip
            yield sse({**head, "choices": [first], **usage, "prompt_token_ids": None, "prompt_text": None})
        deltas = list(self._deltas(answer))
        for number, delta in enumerate(deltas, start=1):
            last = number == len(deltas)
            probs = chat_logprobs(body, (delta["content"],)) if delta.get("content") else None
            end = {"finish_reason": answer.reason, "stop_reason": None} if last else {"finish_reason": None}
            tail = {"system_fingerprint": FINGERPRINT} if last and not options.get("include_usage") else {}
            for index in every:
                choice = {"index": index, "delta": delta, "logprobs": probs, **end, "token_ids": None}
                yield sse({**head, "choices": [choice], **usage, **tail})
        if options.get("include_usage"):
            yield sse({**head, "choices": [], "usage": self._usage(body, answer),
                       "system_fingerprint": FINGERPRINT})  # fmt: skip
        yield DONE

    def _deltas(self, answer: Said) -> Iterator[dict[str, Any]]:
        """The deltas after the role; a reply that ends by itself has one more, for the token that ends it."""
        for token in answer.thinks:
            yield {"content": None, "reasoning": token}
        for word in answer.words:
            yield {"content": word, **({"reasoning": None} if answer.thinks else {})}
        for index, call in enumerate(answer.calls):
            function: dict[str, str] = {"name": call.name}
            first = {"id": "chatcmpl-tool-" + secrets.token_hex(8), "type": "function", "index": index}
            yield {"content": None, "tool_calls": [{**first, "function": function}]}
            for piece in call.arguments:
                yield {"content": None, "tool_calls": [{"index": index, "function": {"arguments": piece}}]}
        if answer.reason != "length":
            yield {}

    def _completion(self, request: Seen) -> Answer:
        body = self._body(request)
        model = self._model(body)
        check_sampling(body, self.max_model_len)
        prompt = body.get("prompt")
        if not prompt:
            message = "Either prompt or prompt_embeds must be provided and non-empty. (parameter=prompt)"
            raise Refused(400, "BadRequestError", message, "prompt")
        several = isinstance(prompt, list) and isinstance(prompt[0], str | list)
        count = (len(prompt) if several else 1) * (body.get("n") or 1)
        name = "cmpl-" + (request.header("x-request-id") or secrets.token_hex(8))
        answer = self._said({key: value for key, value in body.items() if key != "tools"})
        if body.get("stream"):
            return as_stream(self._completion_events(name, model, body, count, answer))
        choices = [
            {"index": index, "text": "".join(answer.words), "logprobs": text_logprobs(body, answer.words),
             "finish_reason": answer.reason, "stop_reason": None, "token_ids": None, "prompt_logprobs": None,
             "prompt_token_ids": None, "routed_experts": None}
            for index in range(count)
        ]  # fmt: skip
        usage = self._usage(body, answer)
        return as_json({
            "id": name, "object": "text_completion", "created": int(time.time()), "model": model,
            "choices": choices, "service_tier": None, "system_fingerprint": FINGERPRINT,
            "usage": usage | {"prompt_tokens_details": None, "completion_tokens_details": None},
            "kv_transfer_params": None, "ec_transfer_params": None, "metrics": None,
        })  # fmt: skip

    def _completion_events(
        self, name: str, model: str, body: dict[str, Any], count: int, answer: Said
    ) -> Iterator[bytes]:
        head = {"id": name, "object": "text_completion", "created": int(time.time()), "model": model}
        usage = bool((body.get("stream_options") or {}).get("include_usage"))
        words = [*answer.words, *([""] if answer.reason == "stop" else [])]
        for number, word in enumerate(words, start=1):
            last = number == len(words)
            tail = {"system_fingerprint": FINGERPRINT} if last and not usage else {}
            for index in range(count):
                choice = {"index": index, "text": word, "logprobs": text_logprobs(body, (word,)),
                          "finish_reason": answer.reason if last else None, "stop_reason": None,
                          "prompt_token_ids": None, "token_ids": None}  # fmt: skip
                yield sse({**head, "choices": [choice], **tail})
        if usage:
            yield sse({**head, "choices": [], "usage": self._usage(body, answer),
                       "system_fingerprint": FINGERPRINT})  # fmt: skip
        yield DONE

    def _response(self, request: Seen) -> Answer:
        body = self._body(request)
        require(body, "input")
        model = self._model(body)
        answer = self._said({"max_tokens": body.get("max_output_tokens")})
        if body.get("stream"):
            return as_stream(responses.events(body, model, answer, self.max_model_len))
        return as_json(responses.whole(body, model, answer, self.max_model_len))

    def _embeddings(self, request: Seen) -> Answer:
        body = self._body(request)
        require(body, "input")
        model = self._model(body)
        assert self.embeds is not None
        data = embeddings(body, [1.0] + [0.0] * (self.embeds - 1))
        usage = {"prompt_tokens": 3, "total_tokens": 3, "completion_tokens": 0, "prompt_tokens_details": None}
        return as_json({"id": "embd-" + secrets.token_hex(8), "object": "list", "created": int(time.time()),
                        "model": model, "data": data, "usage": usage})  # fmt: skip

    def _usage(self, body: dict[str, Any], answer: Said) -> dict[str, Any]:
        tokens = spoken(body, answer)
        details = (
            {"completion_tokens_details": {"reasoning_tokens": len(answer.thinks)}} if answer.thinks else {}
        )
        total = PROMPT_TOKENS + tokens
        return {"prompt_tokens": PROMPT_TOKENS, "total_tokens": total, "completion_tokens": tokens, **details}

    # load

    def _metrics(self) -> Answer:
        labels = f'{{engine="0",model_name="{self.model}"}}'
        lines = [
            "# TYPE vllm:num_requests_running gauge",
            f"vllm:num_requests_running{labels} {float(self.running)}",
            "# TYPE vllm:num_requests_waiting gauge",
            f"vllm:num_requests_waiting{labels} {float(self.waiting)}",
            "# TYPE vllm:kv_cache_usage_perc gauge",
            f"vllm:kv_cache_usage_perc{labels} 0.0",
            "# TYPE vllm:generation_tokens_total counter",
            f"vllm:generation_tokens_total{labels} {float(len(self.asked) * len(self.says))}",
        ]
        kind: Headers = (("content-type", "text/plain; version=0.0.4; charset=utf-8"),)
        return Answer(200, ["\n".join([*lines, ""]).encode()], kind)
