"""`praxis up`: everything on this machine, from whatever is there already to a gateway that answers."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from praxis.config import Config
    from praxis.up.engines import Engine
    from praxis.up.environment import Environment
    from praxis.up.progress import Progress
    from praxis.up.stack import Listeners

_QUESTION = "劳动者加班，加班费按什么标准支付？"


class Stopped(BaseException):
    """A signal asked this process to end."""


def up(
    config: Annotated[Path, typer.Option("--config", help="The operator's file.")] = Path("models.yaml"),
    host: Annotated[str, typer.Option(help="Address for the gateway and the UI.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The gateway's port.")] = 8080,
    ui_port: Annotated[int, typer.Option(help="The UI's port.")] = 8501,
    workers: Annotated[int, typer.Option(min=1, help="The gateway's processes.")] = 1,
    model: Annotated[
        str | None,
        typer.Option(envvar="MODEL", help="Serve this instead: embedded, smollm2, a folder or a hub id."),
    ] = None,
    prepare: Annotated[
        bool, typer.Option("--prepare", help="Install and fetch what is missing, start nothing.")
    ] = False,
) -> None:
    """Start engine, gateway, rag and UI, and keep them running until Ctrl-C."""
    from praxis.config import load
    from praxis.up.progress import Progress
    from praxis.up.stack import alone
    from praxis.up.substitute import substitute

    progress = Progress()
    loaded = load(config)
    # Every process, and a configuration made from this one, keeps what it makes in the same place.
    os.environ["PRAXIS_HOME"] = str(loaded.home)
    try:
        with _signals(), alone(loaded.home / "run", progress) as lock:
            if model and model not in [each.launch.model for each in loaded.backends.values() if each.launch]:
                loaded = substitute(loaded, model)
            if prepare:
                _prepare(loaded, progress)
            else:
                _run(loaded, host, port, ui_port, workers, progress, lock)
    except Stopped:
        progress.say("Stopped; nothing is left running.")


def _prepare(config: Config, progress: Progress) -> tuple[list[Engine], Environment | None]:
    """The engines to start, their models and their environment made ready."""
    from praxis.up import engines

    with progress.step("Models") as report:
        planned = engines.planned(config, report)
    return planned, engines.install(config, progress) if planned else None


def _run(
    config: Config, host: str, port: int, ui_port: int, workers: int, progress: Progress, lock: int
) -> None:
    """Prepare what is missing, start the processes, bring them to readiness and watch them."""
    from praxis.up.first_start import Samples, make_keys, make_secrets
    from praxis.up.ports import must_be_free
    from praxis.up.stack import Stack, listeners, programs
    from praxis.up.supervisor import Supervisor

    run = config.home / "run"
    ready = run / "ready.json"
    ready.unlink(missing_ok=True)
    at = listeners(config, host, port, ui_port)
    must_be_free(at.all())
    os.environ.update(make_secrets(config))
    planned, made = _prepare(config, progress)
    described = programs(config, at, planned, made, workers)
    with (
        Supervisor(described, run, config.home / "logs", keep_open=[lock]) as supervisor,
        _stopping(progress),
    ):
        stack = Stack(config, at, supervisor, progress)
        stack.fill_samples(Samples(config))
        if keys := make_keys(config):
            progress.say(_keys(keys))
        stack.start_gateway()
        stack.await_ready()
        stack.announce(ready)
        progress.say(_summary(config, at, keys))
        try:
            stack.watch()
        finally:
            ready.unlink(missing_ok=True)


@contextmanager
def _signals() -> Iterator[None]:
    """Turn the signals that ask for an end into `Stopped`."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    yield


@contextmanager
def _stopping(progress: Progress) -> Iterator[None]:
    """Let no second signal interrupt the stopping, which is bounded in time anyway."""
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        progress.say("Stopping…")


def _keys(keys: dict[str, str]) -> str:
    lines = [f"  {name:<6} {secret}" for name, secret in keys.items()]
    return "\n".join(["Keys, shown this once; only their hashes are kept:", *lines])


def _summary(config: Config, at: Listeners, keys: dict[str, str]) -> str:
    """What to do next: addresses, keys where they are new, and two snippets that work when pasted."""
    gateway = config.server.public_url or at.gateway.url
    key = keys.get("user", "$PRAXIS_API_KEY" if config.server.auth == "keys" else "none")
    model = next(iter(config.assistants or config.models))
    known = key if keys or config.server.auth == "none" else None
    lines = ["", "Praxis is ready.", f"  UI       {at.ui.url}", f"  Gateway  {gateway}/v1"]
    if keys:
        lines.append(_keys(keys))
    elif known is None:
        lines.append("  Keys     were shown when they were made; `praxis keys create NAME` makes another.")
        lines.append("           Before pasting what follows: export PRAXIS_API_KEY=sk-praxis-…")
    secret = f'"{known}"' if known else 'os.environ["PRAXIS_API_KEY"]'
    lines += [
        "",
        "With curl:",
        f'curl -s {gateway}/v1/chat/completions -H "authorization: Bearer {key}" \\',
        "  -H 'content-type: application/json' \\",
        f'  -d \'{{"model": "{model}", "messages": [{{"role": "user", "content": "{_QUESTION}"}}]}}\'',
        "",
        f"With Python ({_python()} has the `openai` package):",
        "import os; from openai import OpenAI",
        f'client = OpenAI(base_url="{gateway}/v1", api_key={secret})',
        f'question = [{{"role": "user", "content": "{_QUESTION}"}}]',
        f'print(client.chat.completions.create(model="{model}", messages=question).choices[0].message.content)',
        "",
        "Ctrl-C stops everything.",
    ]
    return "\n".join(lines)


def _python() -> str:
    python = Path(sys.executable)
    return str(python.relative_to(Path.cwd()) if python.is_relative_to(Path.cwd()) else python)
