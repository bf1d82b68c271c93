"""A fine-tune goes live on a share of the traffic, is promoted, rolled back and taken out, and no request fails for it."""

import json
import shutil
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes import faults
from tests.fakes.vllm import VLLM
from tests.gateway.asking import CHAT, MESSAGES, Asking, Reply, ask, house
from tests.gateway.conftest import Serve
from tests.gateway.test_adapters import load, peft, unload
from tests.processes import Gateway, eventually, praxis

ADAPTERS = "/admin/v1/adapters"


@pytest.fixture
def sources(standing_gateway: Gateway) -> Iterator[Path]:
    """The gateway's folder `adapters` with three contents, told apart by their rank."""
    folder = standing_gateway.folder / "adapters"
    for rank, name in ((8, "a"), (4, "b"), (2, "c")):
        peft(folder / name, rank)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def running(gateway: Serve, sources: Path, engine: VLLM, other: VLLM) -> Iterator[Gateway]:
    """A gateway before two replicas; what a test loads is unloaded after it."""
    running = gateway(house(engine, other))
    yield running
    gateway(house(engine, other))
    for name in [each["name"] for each in operate(running, "GET").json()["data"]]:
        unload(running, name)


def operate(running: Gateway, method: str, path: str = "", **body: Any) -> httpx.Response:
    """An operator's request below `/admin/v1/adapters`."""
    given = {"json": body} if body else {}
    return running.request(method, ADAPTERS + path, key=running.admin_key, **given)


def staged(running: Gateway, source: str, name: str = "medical") -> str:
    """Load the content without promoting it; its revision."""
    reply = operate(running, "POST", name=name, base="law", source=f"adapters/{source}", stage=True)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["loaded"])


def loaded(running: Gateway, source: str, name: str = "medical") -> str:
    """Load the content and have the name answer with it; its revision."""
    reply = load(running, name, f"adapters/{source}")
    assert reply.status_code == 200, reply.text
    return str(reply.json()["revision"])


def promoted(running: Gateway, revision: str, name: str = "medical") -> None:
    reply = operate(running, "POST", f"/{name}/promote", revision=revision)
    assert reply.status_code == 200, reply.text
    assert reply.json()["revision"] == revision


def canary(running: Gateway, revision: str, share: float | str, **more: str) -> None:
    reply = operate(running, "PUT", "/medical/canary", revision=revision, share=share, **more)
    assert reply.status_code == 200, reply.text


def answering(running: Gateway, model: str = "medical", **headers: str) -> str:
    """The revision that answers a request."""
    reply = ask(running, model=model, headers=headers)
    assert reply.status == 200, reply.raw
    assert json.loads(reply.raw)["model"] == model
    return reply.headers["x-praxis-revision"]


def revisions(*engines: VLLM) -> list[set[str]]:
    """The revisions that each engine holds."""
    return [{name.partition("@")[2] for name in engine.loaded} for engine in engines]


def loads(*engines: VLLM) -> Counter[str]:
    """How often each engine was asked to load what."""
    asked = [
        request.json["lora_name"]
        for engine in engines
        for request in list(engine.seen)
        if request.path == "/v1/load_lora_adapter"
    ]
    return Counter(asked)


def ended_before_its_unload(*engines: VLLM) -> bool:
    """Whether the one engine that was asked had given its whole answer when it was told to forget the adapter."""
    (engine,) = (each for each in engines if each.asked)
    (asked,) = engine.asked
    (unload,) = (each for each in engine.seen if each.path == "/v1/unload_lora_adapter")
    return asked.answered is not None and asked.answered < unload.at


@contextmanager
def traffic(running: Gateway, model: str = "medical") -> Iterator[list[Reply]]:
    """Four clients ask without a pause during the block; their replies."""
    over = threading.Event()
    replies: list[Reply] = []

    def client(number: int) -> None:
        while not over.is_set():
            replies.append(ask(running, model=model, stream=number % 2 == 0))

    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(client, number) for number in range(4)]
        try:
            yield replies
        finally:
            over.set()
    for each in clients:
        each.result()


def test_a_staged_revision_answers_only_who_asks_for_it_until_it_is_promoted(
    running: Gateway, engine: VLLM, other: VLLM
) -> None:
    first = loaded(running, "a")
    second = staged(running, "b")
    assert revisions(engine, other) == [{first, second}] * 2
    assert {answering(running) for _ in range(6)} == {first}
    assert answering(running, f"medical@{second}") == second
    assert set(running.models()) == {"law", "default", "medical", "multilingual-e5-small"}
    assert running.get(f"/v1/models/medical@{second}").json()["parent"] == "law"
    promoted(running, second)
    assert {answering(running) for _ in range(6)} == {second}
    # The one before stays, so that going back takes no load.
    assert revisions(engine, other) == [{first, second}] * 2
    third = staged(running, "c")
    promoted(running, third)
    assert revisions(engine, other) == [{second, third}] * 2
    assert ask(running, model=f"medical@{first}").status == 404


def test_a_name_may_be_staged_before_it_answers(running: Gateway) -> None:
    first = staged(running, "a")
    assert ask(running, model="medical").status == 404
    assert answering(running, f"medical@{first}") == first
    assert operate(running, "PUT", "/medical/canary", revision=first, share="5%").status_code == 409
    assert operate(running, "POST", "/medical/rollback").status_code == 409
    assert operate(running, "POST", "/medical/promote", revision=first[:6]).json()["revision"] == first
    assert answering(running) == first


def test_rollback_goes_back_one_by_one(running: Gateway, engine: VLLM) -> None:
    first, second, third = (loaded(running, each) for each in "abc")
    assert revisions(engine) == [{third}]
    for before in (second, first):
        reply = operate(running, "POST", "/medical/rollback", why="worse")
        assert reply.json()["revision"] == before
        assert answering(running) == before
    refused = operate(running, "POST", "/medical/rollback")
    assert refused.status_code == 409
    assert refused.headers["x-should-retry"] == "false"
    promoted(running, third)
    assert operate(running, "POST", "/medical/rollback").json()["revision"] == first


def test_nothing_fails_while_a_name_turns(running: Gateway, engine: VLLM, other: VLLM) -> None:
    first = loaded(running, "a")
    with traffic(running) as replies:
        second = loaded(running, "b")
        eventually(
            lambda: any(reply.headers.get("x-praxis-revision") == second for reply in list(replies)),
            "it answers",
        )
        canary(running, staged(running, "c"), 0.3)
        operate(running, "POST", "/medical/rollback")
        operate(running, "POST", "/medical/rollback")
        before = len(replies)
        assert answering(running) == first
        eventually(lambda: len(replies) > before + 20, "traffic goes on")
    with traffic(running) as later:
        eventually(lambda: len(later) > 20, "traffic goes on")
    assert {reply.status for reply in replies + later} == {200}
    assert not any(reply.torn or reply.error for reply in replies + later)
    assert {reply.headers["x-praxis-revision"] for reply in replies} >= {first, second}
    assert {reply.headers["x-praxis-revision"] for reply in later} == {first}


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_a_canary_gets_its_share_of_sessions_and_keeps_them(running: Gateway, share: float) -> None:
    loaded(running, "a")
    trial = staged(running, "b")
    canary(running, trial, share)

    def sides(names: list[str]) -> dict[str, str]:
        with ThreadPoolExecutor(4) as pool:
            found = pool.map(lambda name: answering(running, **{"x-session-id": name}), names)
            return dict(zip(names, found, strict=True))

    sessions = sides([f"session-{number}" for number in range(2000)])
    met = [name for name, side in sessions.items() if side == trial]
    assert abs(len(met) / 2000 - share) < 0.04
    some = list(sessions)[:100]
    assert sides(some) == {name: sessions[name] for name in some}
    canary(running, trial, min(1.0, 2 * share))
    assert {sides([name])[name] for name in met[:20]} == {trial}, "a share that grows keeps whom it had"


def test_without_a_session_every_request_is_drawn_anew(running: Gateway) -> None:
    first = loaded(running, "a")
    trial = staged(running, "b")
    canary(running, trial, "50%")
    assert {answering(running) for _ in range(60)} == {first, trial}


def test_by_key_a_key_always_meets_the_same(running: Gateway) -> None:
    first = loaded(running, "a")
    trial = staged(running, "b")
    canary(running, trial, "50%", by="key")

    def side(key: str, session: str) -> str:
        headers = {"x-session-id": session, "authorization": f"Bearer {key}"}
        reply = ask(running, model="medical", headers=headers)
        return reply.headers["x-praxis-revision"]

    secrets = [running.keys.create(f"key-{number}")[1] for number in range(24)]
    met = [{side(key, session) for session in ("one", "two", "three")} for key in secrets]
    assert all(len(each) == 1 for each in met)
    assert set().union(*met) == {first, trial}


def test_rollback_ends_a_canary_and_keeps_the_current(running: Gateway, engine: VLLM) -> None:
    first = loaded(running, "a")
    second = loaded(running, "b")
    trial = staged(running, "c")
    canary(running, trial, 1.0)
    assert answering(running) == trial
    assert operate(running, "POST", "/medical/rollback").json()["canary"] is None
    assert answering(running) == second
    assert trial in revisions(engine)[0]
    assert operate(running, "POST", "/medical/rollback").json()["revision"] == first
    canary(running, trial, 0.5)
    assert operate(running, "DELETE", "/medical/canary").json()["canary"] is None
    assert operate(running, "DELETE", "/medical/canary").status_code == 409


REFUSED = [
    ("POST", "/nobody/promote", {"revision": "abcdef"}, 404, "nobody"),
    ("POST", "/medical/promote", {"revision": "ffffff"}, 404, "ffffff"),
    ("POST", "/medical/promote", {"revision": ""}, 404, "known are"),
    ("PUT", "/medical/canary", {"revision": "CURRENT", "share": 0.1}, 409, "already"),
    ("PUT", "/medical/canary", {"revision": "CURRENT", "share": 1.5}, 400, "share"),
    ("PUT", "/medical/canary", {"revision": "CURRENT", "share": "ten%"}, 400, "10%"),
    ("PUT", "/medical/canary", {"revision": "CURRENT", "share": 0.1, "by": "moon"}, 400, "by"),
    ("DELETE", "/medical/revisions/CURRENT", {}, 409, "promote another"),
    ("GET", "/nobody/history", {}, 404, "nobody"),
    ("GET", "/nobody", {}, 404, "nobody"),
]


@pytest.mark.parametrize(("method", "path", "body", "status", "word"), REFUSED)
def test_what_cannot_be_done_is_refused_in_a_sentence(
    running: Gateway, method: str, path: str, body: dict[str, Any], status: int, word: str
) -> None:
    current = loaded(running, "a")
    given = {key: current if value == "CURRENT" else value for key, value in body.items()}
    reply = operate(running, method, path.replace("CURRENT", current), **given)
    assert reply.status_code == status, reply.text
    assert word in reply.json()["error"]["message"]
    assert answering(running) == current


def test_unload_waits_for_the_requests_in_flight(running: Gateway, engine: VLLM, other: VLLM) -> None:
    loaded(running, "a")
    engine.script.next(faults.slow(gap=0.3))
    asking = Asking(running, model="medical", stream=True)
    eventually(lambda: engine.asked + other.asked, "an engine was asked")
    gone = unload(running, "medical")
    assert gone.status_code == 200
    assert asking.end().done
    assert ended_before_its_unload(engine, other)
    assert engine.loaded == other.loaded == {}
    assert ask(running, model="medical").status == 404


def test_a_request_that_outlasts_the_patience_keeps_its_revision(
    gateway: Serve, running: Gateway, engine: VLLM, other: VLLM
) -> None:
    gateway(house(engine, other, server={"drain": 0.3}))
    first = loaded(running, "a")
    gate = faults.Gate(2)
    engine.script.next(faults.held(gate))
    asking = Asking(running, model="medical", stream=True)
    eventually(lambda: engine.asked + other.asked, "an engine was asked")
    gone = unload(running, "medical")
    assert gone.json()["draining"] is True
    assert not asking.answered
    assert first in revisions(engine)[0] | revisions(other)[0]
    assert ask(running, model="medical").status == 404, "nothing new goes there"
    gate.release()
    assert asking.end().done
    eventually(lambda: engine.loaded == other.loaded == {}, "the engines forget it")


def test_one_revision_can_be_taken_out(running: Gateway, engine: VLLM, other: VLLM) -> None:
    first = loaded(running, "a")
    second = staged(running, "b")
    canary(running, second, "30%")
    assert operate(running, "DELETE", f"/medical/revisions/{second}").status_code == 200
    assert revisions(engine, other) == [{first}] * 2
    assert {answering(running) for _ in range(10)} == {first}
    assert ask(running, model=f"medical@{second}").status == 404


def test_the_history_tells_who_what_when_why_and_from_where(running: Gateway, sources: Path) -> None:
    first = loaded(running, "a", "logged")
    second = staged(running, "b", "logged")
    operate(running, "PUT", "/logged/canary", revision=second, share=0.25, why="a tenth is too few")
    operate(running, "POST", "/logged/promote", revision=second)
    operate(running, "POST", "/logged/rollback", why="worse answers")
    unload(running, "logged")
    changes = operate(running, "GET", "/logged/history").json()["data"]
    assert [(each["action"], each["revision"], each["before"], each["after"]) for each in changes] == [
        ("load", first, None, first),
        ("load", second, first, first),
        ("canary", second, first, first),
        ("promote", second, first, second),
        ("rollback", first, second, first),
        ("unload", first, first, None),
    ]
    assert {each["who"] for each in changes} == {"test-admin"}
    assert {each["origin"] for each in changes} == {"127.0.0.1"}
    assert changes[2]["share"] == 0.25
    assert [each["why"] for each in changes if each["why"]] == ["a tenth is too few", "worse answers"]
    assert changes[1]["source"] == str(sources / "b")
    assert sorted(each["at"] for each in changes) == [each["at"] for each in changes]
    # Loaded again, there is nothing to go back to before the first of its new life.
    loaded(running, "a", "logged")
    assert operate(running, "POST", "/logged/rollback").status_code == 409


def test_a_revision_whose_folder_has_changed_is_never_loaded_as_what_it_was(
    running: Gateway, engine: VLLM, sources: Path
) -> None:
    loaded(running, "a")
    shutil.rmtree(sources / "a")
    peft(sources / "a", rank=16)
    second = loaded(running, "a")
    refused = operate(running, "POST", "/medical/rollback")
    assert refused.status_code == 409
    assert "folder of its own" in refused.json()["error"]["message"]
    assert answering(running) == second
    assert revisions(engine) == [{second}]


def test_what_a_revision_did_is_listed(running: Gateway) -> None:
    first = loaded(running, "a", "counted")
    trial = staged(running, "b", "counted")
    for model, times in ((f"counted@{first}", 3), (f"counted@{trial}", 2)):
        for _ in range(times):
            assert ask(running, model=model).status == 200

    def told() -> dict[str, Any]:
        adapter = operate(running, "GET", "/counted").json()
        return {each["revision"]: each for each in adapter["revisions"]}

    def requests() -> list[int]:
        return [told()[each]["requests"] for each in (first, trial)]

    eventually(lambda: requests() == [3, 2], "they are counted")
    one = told()[first]
    assert (one["state"], one["share"], told()[trial]["state"]) == ("current", 1.0, "staged")
    assert one["completion_tokens"] > 0
    assert one["prompt_tokens"] > 0
    assert one["error_rate"] == 0
    assert 0 < one["mean_first_event_seconds"] <= one["mean_seconds"]
    assert [each["loaded"] for each in one["replicas"]] == [True, True]
    # Revisions come and go, and would fill Prometheus and the usage of keys.
    text = running.http.get(f"{running.url}/metrics").text
    assert 'model="counted"' in text
    assert first not in text


def test_a_key_that_may_use_the_adapter_may_use_its_revisions(running: Gateway) -> None:
    revision = loaded(running, "a")
    may = running.keys.create("may", models=["medical"])[1]
    may_not = running.keys.create("may-not", models=["law"])[1]
    for key, status in ((may, 200), (may_not, 403)):
        for model in ("medical", f"medical@{revision}"):
            assert ask(running, model=model, headers={"authorization": f"Bearer {key}"}).status == status


def test_an_engine_that_forgot_an_adapter_costs_no_request(
    running: Gateway, engine: VLLM, other: VLLM
) -> None:
    first = loaded(running, "a")
    engine.loaded.clear()
    assert {answering(running) for _ in range(12)} == {first}
    eventually(lambda: revisions(engine) == [{first}], "it is loaded again")


def test_scripts_made_for_vllm_work(running: Gateway, engine: VLLM, other: VLLM) -> None:
    def call(what: str, key: str = running.admin_key, **body: Any) -> httpx.Response:
        return running.post(f"/v1/{what}_lora_adapter", key=key, json=body)

    reply = call("load", lora_name="medical", lora_path="adapters/a")
    assert (reply.status_code, reply.text) == (200, "Success: LoRA adapter 'medical' added successfully.")
    assert "medical@" in str(engine.loaded)
    assert "medical@" in str(other.loaded)
    first = answering(running)
    assert call("load", lora_name="medical", lora_path="adapters/a").status_code == 200, "it is there"
    refused = call("load", lora_name="medical", lora_path="adapters/b")
    assert refused.status_code == 400
    assert "has already been loaded" in refused.json()["error"]["message"]
    assert call("load", lora_name="medical", lora_path="adapters/b", load_inplace=True).status_code == 200
    assert answering(running) != first
    reply = call("unload", lora_name="medical", lora_int_id=None)
    assert (reply.status_code, reply.text) == (200, "Success: LoRA adapter 'medical' removed successfully.")
    gone = call("unload", lora_name="medical")
    assert gone.status_code == 404
    assert "cannot be found" in gone.json()["error"]["message"]
    assert call("load", lora_name="x", lora_path="/etc").status_code == 400
    assert call("load", lora_name="", lora_path="adapters/a").status_code == 400
    assert call("load", key=running.user_key, lora_name="x", lora_path="adapters/a").status_code == 403
    assert not engine.loaded


def test_the_commands_do_the_same(running: Gateway, engine: VLLM) -> None:
    def adapters(*arguments: str, fails: int = 0) -> str:
        done: subprocess.CompletedProcess[str] = praxis(
            "adapters", *arguments, "--url", running.url, cwd=running.folder, PRAXIS_API_KEY=running.admin_key
        )
        assert done.returncode == fails, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr

    assert "live on 2 of 2" in adapters("load", "medical", "--base", "law", "--source", "adapters/a")
    first = answering(running)
    out = adapters("load", "medical", "--base", "law", "--source", "adapters/b", "--stage")
    assert "staged on 2 of 2" in out
    second = next(iter(revisions(engine)[0] - {first}))
    assert "0.3" in adapters("canary", "medical", second[:6], "30%", "--why", "try it")
    listed = adapters("list")
    assert f"medical@{first}" in listed
    assert "canary" in listed
    assert json.loads(adapters("list", "--format", "json"))[0]["canary"]["share"] == 0.3
    adapters("canary", "medical", "--stop")
    assert second in adapters("promote", "medical", second)
    assert first in adapters("rollback", "medical", "--why", "worse")
    told = adapters("history", "medical")
    assert "try it" in told
    assert "rollback" in told
    assert "unloaded" in adapters("unload", f"medical@{second}")
    assert revisions(engine) == [{first}]
    assert "share" in adapters("canary", "medical", second, "0%", fails=1)
    adapters("canary", "medical", fails=2)
    adapters("unload", "medical")
    assert not engine.loaded


def test_what_the_file_names_can_be_tried_and_rolled_back_too(
    running: Gateway, engine: VLLM, sources: Path
) -> None:
    config = json.loads(running.file.read_text())
    config["adapters"] = {"filed": {"base": "law", "source": "adapters/a"}}
    running.configure(json.dumps(config))
    eventually(lambda: ask(running, model="filed").status == 200, "the file's adapter answers")
    first = answering(running, "filed")
    second = staged(running, "b", "filed")
    promoted(running, second, "filed")
    running.configure(json.dumps(config))
    assert answering(running, "filed") == second, "the file says nothing new"
    config["adapters"]["filed"]["source"] = "adapters/c"
    running.configure(json.dumps(config))
    eventually(lambda: answering(running, "filed") not in (first, second), "the file's new content answers")
    reply = operate(running, "POST", "/filed/rollback")
    assert reply.json()["revision"] == second
    assert operate(running, "DELETE", "/filed").status_code == 400
    del config["adapters"]
    running.configure(json.dumps(config))
    assert ask(running, model="filed").status == 404
    eventually(lambda: not engine.loaded, "it is unloaded")


def test_a_body_is_passed_on_with_the_revision_as_its_model(
    running: Gateway, engine: VLLM, other: VLLM
) -> None:
    first = loaded(running, "a")
    body = {"model": f"medical@{first}", "messages": MESSAGES, "top_k": 3}
    assert running.post(CHAT, json=body).status_code == 200
    assert (engine.asked + other.asked)[-1].json == body
