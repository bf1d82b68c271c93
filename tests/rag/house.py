"""A gateway with rag behind it, and the people who use both."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import openai

from tests.fakes.vllm import VLLM
from tests.processes import Gateway
from tests.rag.conftest import Rag

STATUTE = """青云市图书馆借阅条例

2020年3月1日 青云市人民代表大会常务委员会通过

第一条 为了规范图书借阅，保护读者权益，制定本条例。

第二条 读者每次最多可以借阅图书七册，借期为四十五日。
"""
SAYS = "读者每次最多可以借阅图书七册，借期为四十五日。"
ASKED = "读者每次可以借阅几册图书？"
STORES = "/v1/vector_stores"


@dataclass
class House:
    """A gateway with rag behind it, and keys of the tenants 甲所, 乙所 and 医院."""

    gateway: Gateway
    engine: VLLM
    rag: Rag
    config: dict[str, Any]
    keys: dict[str, str] = field(default_factory=dict)  # of the tenants, and 乙所's second as 乙所-2
    ids: dict[str, str] = field(default_factory=dict)

    def ask(self, who: str, method: str, path: str, **rest: Any) -> httpx.Response:
        return self.gateway.request(method, path, key=self.keys[who], **rest)

    def client(self, who: str) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.gateway.url}/v1", api_key=self.keys[who], max_retries=0)

    def filled(self, who: str, name: str, text: str = STATUTE) -> tuple[str, str]:
        """A new knowledge base with one file; their ids."""
        with self.client(who) as client:
            store = client.vector_stores.create(name=name).id
            file = self.add(who, store, f"{name}.txt", text)
        return store, file

    def add(self, who: str, store: str, filename: str, text: str = STATUTE) -> str:
        with self.client(who) as client:
            kept = client.vector_stores.files.upload_and_poll(
                vector_store_id=store, file=(filename, text.encode()), poll_interval_ms=100
            )
        assert kept.status == "completed", kept.last_error
        return kept.id

    def share(self, who: str, store: str, right: str = "read", **whom: str) -> httpx.Response:
        return self.ask(who, "PUT", f"{STORES}/{store}/shares", json={"right": right, **whom})

    def unshare(self, who: str, store: str, **whom: str) -> httpx.Response:
        return self.ask(who, "DELETE", f"{STORES}/{store}/shares", params=whom)

    def search(self, who: str, store: str) -> httpx.Response:
        return self.ask(who, "POST", f"{STORES}/{store}/search", json={"query": ASKED})

    def answer(self, who: str, *stores: str, model: str = "base", **body: Any) -> httpx.Response:
        tools = {"tools": [{"type": "file_search", "vector_store_ids": stores}]} if stores else {}
        messages = [{"role": "user", "content": ASKED}]
        return self.ask(
            who, "POST", "/v1/chat/completions", json={"model": model, "messages": messages} | tools | body
        )


@contextmanager
def housed(folder: Path, model: Path) -> Iterator[House]:
    """A house in `folder`."""
    for part in ("gateway", "rag"):
        (folder / part).mkdir()
    state = f"sqlite:///{folder / 'state.db'}"
    config: dict[str, Any] = {
        "state": state,
        "models": {"base": {"backend": "local", "upstream": "qwen"}},
    }
    with ExitStack() as stack:
        engine = stack.enter_context(VLLM("qwen", says=tuple(SAYS) * 2, max_model_len=8192))
        config["backends"] = {"local": {"kind": "vllm", "replicas": [engine.url]}}
        gateway = stack.enter_context(Gateway(folder / "gateway", json.dumps(config)))
        rag = Rag(folder / "rag", model, f"state: {state}\n", PRAXIS_GATEWAY_URL=gateway.url)
        stack.enter_context(rag)
        config["rag"] = {"url": rag.url}
        gateway.configure(json.dumps(config))
        made = House(gateway, engine, rag, config)
        for name, tenant in (("甲所", "甲所"), ("乙所", "乙所"), ("乙所-2", "乙所"), ("医院", "医院")):
            principal, made.keys[name] = gateway.keys.create(name, tenant=tenant)
            made.ids[name] = principal.key_id
        made.keys["admin"] = gateway.admin_key
        yield made
