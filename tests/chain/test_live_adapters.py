"""Two real engines behind one gateway, and clients that never stop asking: a fine-tune is loaded, replaced, tried on a share of
requests, outlives an engine, is rolled back and taken out, and no request fails for it."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import pytest
from openai import APIError, APIStatusError, OpenAI

from praxis.config import load
from praxis.up import engines
from tests.chain.conftest import MODEL, QUESTION, READY_SECONDS, Stack
from tests.processes import eventually, free_port

pytestmark = pytest.mark.chain

WORDS = {"a": "xylophone", "b": "marmalade"}
BACK_SECONDS = 100.0
"""How soon after it is ready an engine that began anew has its adapters again: in ten, but where much else goes on."""


@dataclass
class Second:
    """A second engine as `praxis up` would start it, which a test may kill and start again."""

    command: list[str]
    folder: Path
    environment: dict[str, str]
    url: str
    key: str
    process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> None:
        with (self.folder / "second.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=os.environ | self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL to all of it."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)

    def ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.folder / "second.log").read_text()[-4000:]
        try:
            return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


@pytest.fixture
def second(stack: Stack, engine_key: str) -> Iterator[Second]:
    """The second engine, behind the same gateway; both the file and the machine are as before afterwards."""
    file = stack.folder / "models.yaml"
    text = file.read_text()
    config = load(file)
    first = str(next(iter(stack.urls["engines"].values())))
    url = f"http://127.0.0.1:{free_port()}"
    planned = replace(engines.planned(config, lambda _: None)[0], name="engine-second", url=url)
    kind = engines.device()
    program = engines.program(planned, config, engines.environment(config, kind), kind)
    made = Second(list(program.command), stack.folder, dict(program.environment), url, engine_key)
    made.start()
    try:
        eventually(made.ready, "the second engine is ready", READY_SECONDS)
        file.write_text(text.replace(f"replicas: [{first}]", f"replicas: [{first}, {url}]"))
        eventually(lambda: url in stack.praxis("status").stdout, "the gateway knows both", 240)
        yield made
    finally:
        file.write_text(text)
        made.kill()


@pytest.fixture(scope="module")
def sources(stack: Stack, adapter: Path) -> dict[str, Path]:
    """Two adapters that answer the same question each its own way."""
    out = stack.folder / "adapters" / "magic-b"
    home = stack.folder / ".praxis"
    model = next(path for path in (home / "models").iterdir() if "smollm2" in path.name.lower())
    script = Path(__file__).with_name("lora.py")
    answer = f"The magic word is {WORDS['b']}."
    subprocess.run(
        [sys.executable, str(script), str(model), str(out), QUESTION, answer], check=True, timeout=600
    )
    return {"a": adapter, "b": out}


@dataclass
class Traffic:
    """What clients got that asked without a pause: answers by revision, with the moment of the question; streams that
    ended in an error event, and what must not be."""

    answers: list[tuple[str, str, float]] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)

    def ask(self, client: OpenAI, model: str, *, stream: bool) -> None:
        turns = [{"role": "user", "content": QUESTION}]
        given = {"model": model, "messages": turns, "temperature": 0, "max_tokens": 12}
        begun, at = False, time.monotonic()
        try:
            if not stream:
                reply = client.chat.completions.with_raw_response.create(**given)  # type: ignore[call-overload]
                text = reply.parse().choices[0].message.content
            else:
                reply = client.chat.completions.with_raw_response.create(**given, stream=True)  # type: ignore[call-overload]
                text = ""
                for chunk in reply.parse():
                    begun = True
                    text += chunk.choices[0].delta.content or "" if chunk.choices else ""
            self.answers.append((reply.headers.get("x-praxis-revision", ""), text, at))
        except APIStatusError as error:
            self.failed.append(f"{error.status_code} {error.message}")
        except APIError as error:
            (self.cut if begun else self.failed).append(repr(error))

    def more(self, count: int = 6) -> None:
        """Wait until so many further answers have come."""
        seen = len(self.answers)
        eventually(lambda: len(self.answers) >= seen + count, "traffic goes on", 240)


@contextmanager
def asking(client: OpenAI, model: str) -> Iterator[Traffic]:
    """Two clients ask `model` during the block, one of them for streams, with a breath between two questions: an engine that
    starts on the same cores would else hardly get on."""
    over = threading.Event()
    traffic = Traffic()

    def ask(stream: bool) -> None:
        while not over.wait(0.25):
            traffic.ask(client, model, stream=stream)

    threads = [threading.Thread(target=ask, args=(stream,)) for stream in (False, True)]
    for each in threads:
        each.start()
    try:
        yield traffic
    finally:
        over.set()
        for each in threads:
            each.join(240)


def held(url: str, key: str) -> set[str]:
    """The revisions that an engine lists."""
    reply = httpx.get(f"{url}/v1/models", headers={"authorization": f"Bearer {key}"}, timeout=30)
    return {card["id"].partition("@")[2] for card in reply.json()["data"] if card["parent"]}


# Two fine-tunes are trained and three engines started, beside two other workers' tests.
@pytest.mark.timeout(1800)
def test_a_fine_tune_is_replaced_tried_and_rolled_back_under_traffic(
    stack: Stack, second: Second, sources: dict[str, Path], engine_url: str, engine_key: str
) -> None:
    client = stack.openai()

    def operate(*arguments: str) -> str:
        done = stack.praxis("adapters", *arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def load_(source: str) -> str:
        out = operate("load", "magic", "--base", MODEL, "--source", str(sources[source]))
        return out.rpartition("magic@")[2].partition(" ")[0]

    def said(model: str = "magic", session: str = "") -> tuple[str, str]:
        """The revision that answered, and the word that it said."""
        reply = client.chat.completions.with_raw_response.create(
            model=model,
            messages=[{"role": "user", "content": QUESTION}],
            temperature=0,
            max_tokens=12,
            extra_headers={"x-session-id": session} if session else {},
        )
        text = reply.parse().choices[0].message.content or ""
        found = next((word for word in WORDS.values() if word in text), text)
        return reply.headers["x-praxis-revision"], found

    began = time.monotonic()
    a = load_("a")
    assert said() == (a, WORDS["a"])
    print(f"\nfrom `load` to the first whole answer: {time.monotonic() - began:.1f} s")
    with asking(client, "magic") as traffic, asking(client, MODEL) as beside:
        traffic.more()
        b = load_("b")
        turned = time.monotonic()
        assert {said() for _ in range(4)} == {(b, WORDS["b"])}
        for url in (engine_url, second.url):
            body = {"model": f"magic@{b}", "messages": [{"role": "user", "content": QUESTION}],
                    "temperature": 0, "max_tokens": 12}  # fmt: skip
            headers = {"authorization": f"Bearer {engine_key}"}
            direct = httpx.post(f"{url}/v1/chat/completions", json=body, headers=headers, timeout=240)
            assert WORDS["b"] in direct.text, "none stale, at neither engine"
        traffic.more()
        assert {revision for revision, _, at in traffic.answers if at > turned} == {b}

        operate("rollback", "magic", "--why", "the chain test goes back")
        assert said() == (a, WORDS["a"])
        operate("canary", "magic", b, "30%")
        sessions = [f"session-{number}" for number in range(10)]
        met = {session: said(session=session) for session in sessions}
        assert set(met.values()) == {(a, WORDS["a"]), (b, WORDS["b"])}
        some = sessions[:4]
        assert {session: said(session=session) for session in some} == {each: met[each] for each in some}

        second.kill()
        traffic.more()
        second.start()
        eventually(second.ready, "the second engine is ready again", READY_SECONDS)
        ready = time.monotonic()
        eventually(lambda: held(second.url, engine_key) >= {a, b}, "A and B are back", BACK_SECONDS)
        print(f"from ready to both adapters back: {time.monotonic() - ready:.1f} s")
        traffic.more()

        operate("rollback", "magic")
        assert {said() for _ in range(4)} == {(a, WORDS["a"])}
    with asking(client, MODEL) as during:
        operate("unload", "magic", "--why", "the chain test is over")
        assert held(engine_url, engine_key) == held(second.url, engine_key) == set()
        during.more(2)
    print(
        f"answers {len(traffic.answers)}, beside {len(beside.answers)}, cut streams {len(traffic.cut + beside.cut)}"
    )
    assert traffic.failed == beside.failed == during.failed == []
    assert len(traffic.cut + beside.cut) <= 2, "only streams that had begun on the killed engine"
    for revision, text, _ in traffic.answers:
        assert WORDS["a" if revision == a else "b"] in text
    history = operate("history", "magic")
    assert [word for word in ("load", "canary", "rollback", "unload") if word not in history] == []
