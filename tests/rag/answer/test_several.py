"""Several knowledge bases in one question, gateway → rag → gateway → engine: searched together, cited each from its own
file, and none that is another tenant's."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.fakes.vllm import VLLM
from tests.processes import Gateway
from tests.rag.conftest import Rag

LIBRARY = """青云市图书馆借阅条例

2020年3月1日 青云市人民代表大会常务委员会通过

第一条 为了规范图书借阅，保护读者权益，制定本条例。

第二条 读者每次最多可以借阅图书七册，借期为四十五日。
"""
PARKING = """青云市停车场管理办法

2021年5月1日 青云市人民政府发布

第一条 为了规范停车场的管理，制定本办法。

第二条 公共停车场每小时收取停车费三元，每日最高收取停车费二十元。
"""
SAYS = (
    "读者每次最多可以借阅图书七册，借期为四十五日。",
    "公共停车场每小时收取停车费三元，每日最高收取停车费二十元。",
)
ASKED = "读者每次可以借阅几册图书，公共停车场停车费每小时收取多少？"


@dataclass
class House:
    """A gateway, rag behind it, and the stores of two tenants and the operator: name to id, and to their one file."""

    gateway: Gateway
    engine: VLLM
    stores: dict[str, str]
    files: dict[str, str]

    def client(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.gateway.url}/v1", api_key=self.gateway.user_key, max_retries=0)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, model: Path) -> Iterator[House]:
    config: dict[str, Any] = {
        "models": {"base": {"backend": "local", "upstream": "qwen"}},
        "assistants": {"labour": {"model": "base", "knowledge": ["labour-law"]}},
    }
    with ExitStack() as stack:
        engine = stack.enter_context(VLLM("qwen", says=SAYS, max_model_len=8192))
        config["backends"] = {"local": {"kind": "vllm", "replicas": [engine.url]}}
        gateway = stack.enter_context(Gateway(tmp_path_factory.mktemp("gateway"), json.dumps(config)))
        folder = tmp_path_factory.mktemp("rag")
        rag = stack.enter_context(Rag(folder, model, PRAXIS_GATEWAY_URL=gateway.url))
        gateway.configure(json.dumps(config | {"rag": {"url": rag.url}}))
        made = House(gateway, engine, {}, {})
        for tenant, name, title, text in (
            ("test-user", "library", "图书馆", LIBRARY),
            ("test-user", "parking", "停车场", PARKING),
            ("stranger", "theirs", "停车场", PARKING),
            ("operator", "labour-law", "图书馆", LIBRARY),
        ):
            client = rag.client(tenant)
            file = folder / f"{title}.txt"
            file.write_text(text)
            made.stores[name] = client.vector_stores.create(name=name).id
            kept = client.vector_stores.files.upload_and_poll(
                vector_store_id=made.stores[name], file=file, poll_interval_ms=100
            )
            assert kept.status == "completed", kept.last_error
            made.files[name] = kept.id
        yield made


def tool(house: House, *names: str) -> Any:
    return {"type": "file_search", "vector_store_ids": [house.stores[each] for each in names]}


@pytest.mark.timeout(400)
def test_each_sentence_is_cited_from_the_knowledge_base_that_has_it(house: House) -> None:
    with house.client() as client:
        response = client.responses.create(
            model="base",
            input=ASKED,
            tools=[tool(house, "library", "parking")],
            include=["file_search_call.results"],
        )
        completion = client.chat.completions.create(
            model="base",
            messages=[{"role": "user", "content": ASKED}],
            tools=[tool(house, "library", "parking")],
        )
    search: Any = response.output[0]
    assert {each.file_id for each in search.results} == {house.files["library"], house.files["parking"]}
    part: Any = response.output[1].content[0]  # type: ignore[union-attr]
    message: Any = completion.choices[0].message
    assert part.text == message.content
    assert [each.file_id for each in part.annotations] == [house.files["library"], house.files["parking"]]
    for citations in (part.citations, message.citations):
        by_file = {each["file_id"]: each for each in citations}
        assert by_file.keys() == {house.files["library"], house.files["parking"]}
        assert SAYS[0][:-1] in by_file[house.files["library"]]["quote"]
        assert SAYS[1][:-1] in by_file[house.files["parking"]]["quote"]
        assert all(each["verified"] for each in citations)
        assert all(search.results[each["marker"] - 1].file_id == each["file_id"] for each in citations)


@pytest.mark.timeout(400)
def test_an_assistants_knowledge_and_the_askers_own_are_searched_together(house: House) -> None:
    with house.client() as client:
        response = client.responses.create(model="labour", input=ASKED, tools=[tool(house, "parking")])
    part: Any = response.output[1].content[0]  # type: ignore[union-attr]
    cited = {each["file_id"] for each in part.citations}
    assert cited == {house.files["labour-law"], house.files["parking"]}


@pytest.mark.timeout(400)
def test_one_store_of_another_tenant_refuses_the_question(house: House) -> None:
    house.engine.seen.clear()
    with house.client() as client:
        with pytest.raises(openai.NotFoundError, match=house.stores["theirs"]):
            client.responses.create(model="base", input=ASKED, tools=[tool(house, "library", "theirs")])
        with pytest.raises(openai.NotFoundError, match=house.stores["theirs"]):
            client.chat.completions.create(
                model="base",
                messages=[{"role": "user", "content": ASKED}],
                tools=[tool(house, "library", "theirs")],
            )
    assert house.engine.asked == []
