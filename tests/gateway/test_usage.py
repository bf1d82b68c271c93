"""What keys used: counted for every way that a request can end, once, and kept whatever befalls the database."""

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from praxis.state import connect
from tests.fakes.faults import cut, error_event, slow, status
from tests.fakes.vllm import VLLM
from tests.gateway.asking import CHAT, ask, house, leaving
from tests.gateway.conftest import Serve
from tests.processes import Gateway, eventually
from tests.services import PostgreSQL

PROMPT, ANSWER = 31, 5
"""What the fake engine counts of a request that says nothing of its length."""

Told = dict[str, Any]


class Counted:
    """Asks with a key of its own, and reads what that key used."""

    def __init__(self, running: Gateway, name: str) -> None:
        self.running = running
        self.name = name
        principal, self.secret = running.keys.create(name)
        self.key_id = principal.key_id
        self.headers = {"authorization": f"Bearer {self.secret}"}

    def ask(self, **body: Any) -> Any:
        return ask(self.running, headers=self.headers, **body)

    def told(self, by: str = "key") -> list[Told]:
        reply = self.running.get(
            "/admin/v1/usage", key=self.running.admin_key, params={"key": self.key_id, "by": by}
        )
        assert reply.status_code == 200, reply.text
        return list(reply.json()["data"])

    def sums(self) -> tuple[int, int, int, int]:
        """Requests, errors, tokens of prompts and of answers."""
        rows = self.told()
        if not rows:
            return (0, 0, 0, 0)
        (row,) = rows
        return (row["requests"], row["errors"], row["prompt_tokens"], row["completion_tokens"])

    def becomes(self, *expected: int) -> None:
        """Wait until that much was used."""
        last: list[Any] = []

        def there() -> bool:
            last[:] = self.sums()
            return tuple(last) == expected

        try:
            eventually(there, "usage is written")
        except AssertionError:
            raise AssertionError(f"{last} is not {expected}") from None


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Counted]]:
    """Requests that end in every way, each kind by a key of its own: they are written together, so the tests wait once."""
    with VLLM() as engine, VLLM(embeds=1000) as embedder:
        config = json.loads(house(engine))
        config["backends"]["embedder"] = {"kind": "vllm", "replicas": [embedder.url]}
        config["models"]["words"] = {"backend": "embedder", "upstream": "qwen"}
        with Gateway(tmp_path_factory.mktemp("usage"), json.dumps(config)) as running:
            kinds = ("whole", "completions", "few words", "many words", "left", "broken", "wrong")
            counted = {kind: Counted(running, kind) for kind in kinds}
            _whole(counted["whole"])
            assert counted["completions"].ask(path="/v1/completions").status == 200
            assert counted["completions"].ask(path="/v1/completions", stream=True).done
            assert len(_embedded(counted["few words"], 1)) < 1 << 20
            assert len(_embedded(counted["many words"], 400)) > 1 << 20
            engine.script.next(slow(gap=0.3))
            with leaving(running, after=b"content", key=counted["left"].secret, stream=True):
                pass
            engine.script.next(cut(4))
            assert not counted["broken"].ask(stream=True).done
            engine.script.next(error_event(3))
            assert not counted["broken"].ask(stream=True).done
            _wrong(counted["wrong"], engine)
            yield counted


def _whole(counted: Counted) -> None:
    usage = json.loads(counted.ask().raw)["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"]) == (PROMPT, ANSWER)
    assert counted.ask(stream=True).done
    assert counted.ask(stream=True, stream_options={"include_usage": True}).done
    assert counted.ask(model="default").status == 200


def _embedded(counted: Counted, inputs: int) -> bytes:
    body = {"model": "words", "input": ["overtime"] * inputs, "encoding_format": "float"}
    reply = counted.running.post("/v1/embeddings", key=counted.secret, json=body)
    assert reply.status_code == 200, reply.text
    return reply.content


def _wrong(counted: Counted, engine: VLLM) -> None:
    engine.script.next(status(400))
    assert counted.ask().status == 400
    assert counted.ask(model="nobody").status == 404
    engine.script.always(status(500))
    assert counted.ask().status == 502
    engine.script.calm()
    assert counted.running.post(CHAT, key="sk-praxis-unknown", json={}).status_code == 401


def test_plain_and_streamed_answers_count_the_same(asked: dict[str, Counted]) -> None:
    counted = asked["whole"]
    counted.becomes(4, 0, 4 * PROMPT, 4 * ANSWER)
    by_model = {row["model"]: row["requests"] for row in counted.told("model")}
    assert by_model == {"law": 3, "default": 1}
    assert [row["adapter"] for row in counted.told("adapter")] == ["law"], "an alias is answered by its model"
    assert counted.told("tenant")[0]["tenant"] == counted.name


def test_completions_count(asked: dict[str, Counted]) -> None:
    asked["completions"].becomes(2, 0, 2 * PROMPT, 2 * ANSWER)


@pytest.mark.parametrize("kind", ["few words", "many words"])
def test_embeddings_count_however_long_the_reply(asked: dict[str, Counted], kind: str) -> None:
    asked[kind].becomes(1, 0, 3, 0)


def test_a_stream_that_its_client_leaves_counts_what_was_said(asked: dict[str, Counted]) -> None:
    counted = asked["left"]
    eventually(lambda: counted.sums()[0] == 1, "it is counted")
    requests, errors, prompt, completion = counted.sums()
    assert (requests, errors) == (1, 0), "leaving is no error"
    assert prompt > 0
    assert 1 <= completion <= ANSWER


def test_a_stream_that_breaks_counts_what_was_said(asked: dict[str, Counted]) -> None:
    counted = asked["broken"]
    eventually(lambda: counted.sums()[0] == 2, "both are counted")
    requests, errors, prompt, completion = counted.sums()
    assert (requests, errors) == (2, 2)
    assert prompt > 0
    assert completion == 4 + 3, "an event is a token, or nearly"


def test_errors_count_as_requests_without_tokens(asked: dict[str, Counted]) -> None:
    asked["wrong"].becomes(3, 3, 0, 0)


def test_what_is_refused_for_its_key_counts_for_nobody(asked: dict[str, Counted]) -> None:
    asked["wrong"].becomes(3, 3, 0, 0)
    running = asked["wrong"].running

    def everyone() -> set[str]:
        rows = running.get("/admin/v1/usage", key=running.admin_key, params={"by": "key"}).json()["data"]
        return {row["key"] for row in rows}

    eventually(lambda: len(everyone()) >= len(asked), "everybody is counted")
    assert everyone() == set(asked)


# What befalls the process and the database


def test_the_last_requests_before_the_end_count(own_gateway: Serve, engine: VLLM) -> None:
    running = own_gateway(house(engine))
    for _ in range(5):
        assert ask(running).status == 200
    running.__exit__()
    database = connect(f"sqlite:///{running.folder / '.praxis' / 'state.db'}")
    with database.connect() as connection:
        total = connection.exec_driver_sql("SELECT sum(requests), sum(prompt_tokens) FROM usage").one()
    database.dispose()
    assert tuple(total) == (5, 5 * PROMPT)


def test_a_locked_database_keeps_nobody_out_and_loses_nothing(own_gateway: Serve, engine: VLLM) -> None:
    running = own_gateway(house(engine))
    counted = Counted(running, "locked")
    assert counted.ask().status == 200
    holder = sqlite3.connect(running.folder / ".praxis" / "state.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    for _ in range(20):
        assert counted.ask(stream=True).status == 200
    holder.execute("ROLLBACK")
    holder.close()
    counted.becomes(21, 0, 21 * PROMPT, 21 * ANSWER)


NEEDS_THE_DATABASE = [
    ("GET", "/admin/v1/keys", None),
    ("POST", "/admin/v1/keys", {"name": "late"}),
    ("GET", "/admin/v1/usage", None),
    ("POST", "/v1/conversations", {}),
    ("PUT", "/admin/v1/adapters/medical/canary", {"revision": "0" * 12, "share": 0.1}),
    ("DELETE", "/admin/v1/adapters/medical", None),
]


def test_without_postgresql_known_keys_go_on_and_nothing_is_lost(own_gateway: Serve, engine: VLLM) -> None:
    with PostgreSQL() as database:
        running = own_gateway(json.dumps(json.loads(house(engine)) | {"state": database.database()}))
        counted = Counted(running, "outlasting")
        assert counted.ask().status == 200
        counted.becomes(1, 0, PROMPT, ANSWER)
        database.stop()
        assert [counted.ask().status for _ in range(30)] == [200] * 30
        stranger = {"authorization": "Bearer sk-praxis-unknown"}
        eventually(lambda: ask(running, headers=stranger).status == 503, "who cannot be known is told so")
        eventually(lambda: "usage not written" in running.log.read_text(), "the log says so")
        assert [counted.ask(stream=True).status for _ in range(30)] == [200] * 30
        for method, path, sent in NEEDS_THE_DATABASE:
            reply = running.request(method, path, key=running.admin_key, json=sent)
            assert reply.status_code == 503, f"{method} {path}: {reply.text}"
            assert "database does not answer" in reply.json()["error"]["message"]
            assert reply.headers["retry-after"]
        log = running.log.read_text()
        assert [log.count(said) for said in ("known keys go on working", "usage not written")] == [1, 1]
        database.start()
        counted.becomes(61, 0, 61 * PROMPT, 61 * ANSWER)
        eventually(lambda: ask(running, headers=stranger).status == 401, "who is unknown is told so again")
