"""`praxis doctor`: what this machine has of what Praxis needs, and how to mend what it lacks."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from praxis.config import Config

_ENGINE_GB, _SPARE_GB = 12, 2
"""Free disk space (GB, 10⁹ bytes) that a first installation takes, and that running needs."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: `fix` is empty where nothing needs mending."""

    subject: str
    fact: str
    fix: str = ""
    fatal: bool = True

    def __str__(self) -> str:
        mark = "✓" if not self.fix else "✗" if self.fatal else "!"
        return f"{mark} {self.subject:<8} {self.fact}" + (f"\n           → {self.fix}" if self.fix else "")


def doctor(
    config: Annotated[Path, typer.Option("--config", help="The operator's file.")] = Path("models.yaml"),
    host: Annotated[str, typer.Option(help="Address for the gateway and the UI.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The gateway's port.")] = 8080,
    ui_port: Annotated[int, typer.Option(help="The UI's port.")] = 8501,
) -> None:
    """Look at Python, disk, GPU, engines, ports and models; say how to mend each. Exit code 1 if something is wrong."""
    from praxis.config import load

    loaded = load(config)
    findings = list(examine(loaded, host, port, ui_port))
    for finding in findings:
        typer.echo(str(finding))
    if any(finding.fix and finding.fatal for finding in findings):
        raise typer.Exit(1)


def examine(config: Config, host: str, port: int, ui_port: int) -> Iterator[Finding]:
    """Every finding about this machine, in the order in which `praxis up` would meet them."""
    yield _python()
    yield _disk(config)
    yield _gpu()
    yield from _engines(config)
    yield from _models(config)
    yield from _ports(config, host, port, ui_port)


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if sys.version_info[:2] != (3, 11):
        fix = "the pinned versions are tested on 3.11: `rm -rf .venv && make up PYTHON=python3.11`"
        return Finding("python", version, fix, fatal=False)
    return Finding("python", version)


def _disk(config: Config) -> Finding:
    folder = next(each for each in [config.home, *config.home.parents] if each.exists())
    free = shutil.disk_usage(folder).free / 1e9
    needed = _SPARE_GB if (config.home / "engines").exists() else _ENGINE_GB
    fact = f"{free:.0f} GB free at {folder}"
    if free < needed:
        return Finding("disk", fact, f"free {needed} GB, or set `PRAXIS_HOME` to a folder on a larger disk")
    return Finding("disk", fact)


def _gpu() -> Finding:
    from praxis.up.engines import device

    if device() == "cpu":
        return Finding("gpu", "none; the engine runs on the CPU")
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    answer = subprocess.run(query, capture_output=True, text=True, check=False)
    return Finding("gpu", "; ".join(answer.stdout.strip().splitlines()))


def _engines(config: Config) -> Iterator[Finding]:
    """The environment of launched engines, and whether the engines that others run answer."""
    import httpx

    from praxis.up.engines import device, environment

    if any(backend.launch for backend in config.backends.values()):
        kind = device()
        ready = environment(config, kind).ready()
        fact = f"vLLM for {kind} {'is installed' if ready else 'is not installed'}"
        yield Finding("engine", fact, "" if ready else "`make up` installs it", fatal=False)
    for name, backend in config.backends.items():
        for url in [] if backend.launch else [each.url for each in backend.replicas]:
            try:
                httpx.get(url, timeout=5)
            except httpx.HTTPError as error:
                reason = str(error) or type(error).__name__
                fix = f"start it, or take it out of `backends.{name}.replicas`"
                yield Finding("engine", f"{name} at {url} does not answer ({reason})", fix)
            else:
                yield Finding("engine", f"{name} at {url} answers")


def _models(config: Config) -> Iterator[Finding]:
    from praxis.weights import EMBEDDED, ready

    for name, backend in config.backends.items():
        if backend.launch is None:
            continue
        model = backend.launch.model
        if weights := EMBEDDED.get(model):
            there = ready(weights, config.home / "models")
            fact = f"{model} ({weights.name}) {'is there' if there else 'is not there'}"
            yield Finding("model", fact, "" if there else "`make up` fetches it", fatal=False)
        elif (folder := config.resolve(Path(model))).is_dir():
            there = (folder / "config.json").is_file()
            fix = "" if there else f"give a model folder in `backends.{name}.launch.model`"
            yield Finding("model", f"{folder}{'' if there else ' holds no config.json'}", fix)
        elif model.startswith(("/", ".", "~")) or model.count("/") != 1:
            fix = f"give a folder that exists or a hub id in `backends.{name}.launch.model`"
            yield Finding("model", f"there is no folder {folder}", fix)
        else:
            yield Finding("model", f"{model} comes from the model hub")


def _ports(config: Config, host: str, port: int, ui_port: int) -> Iterator[Finding]:
    from praxis.up.ports import free
    from praxis.up.stack import listeners, running

    if owner := running(config.home / "run"):
        yield Finding("ports", f"in use by the Praxis that runs here (process {owner})")
        return
    for each in listeners(config, host, port, ui_port).all():
        fix = "" if free(each) else f"stop what uses it or choose another with {each.fix}"
        yield Finding("port", f"{each.port} for the {each.process} is {'in use' if fix else 'free'}", fix)
