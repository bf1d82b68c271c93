"""The environments of the peers that `praxis bench gateway --peers` measures Praxis against."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from praxis.up.environment import Environment
from praxis.up.progress import Progress

INSTALLABLE: Sequence[str] = ("vllm-router", "litellm")
"""The peers that have an environment of their own. nginx comes with the system."""


def environment(name: str) -> Environment:
    """Where the peer lives and what pins it."""
    home = Path(os.environ.get("PRAXIS_HOME") or ".praxis").resolve()
    requirements = Path(__file__).resolve().parents[2] / "requirements" / f"peers-{name}.txt"
    return Environment(home / "peers" / name, requirements, home / "logs" / f"pip-peer-{name}.log")


def install(progress: Progress) -> None:
    """Make the environments that are not there. Raises PraxisError."""
    for name in INSTALLABLE:
        made = environment(name)
        if made.ready():
            progress.say(f"✓ {name} is installed in {made.folder}")
            continue
        with progress.step(f"Environment of the peer {name}") as report:
            made.make(report)
    if nginx() is None:
        progress.say("nginx is not installed; on Debian: apt-get install nginx-light")


def program(name: str) -> Path | None:
    """The command of a peer in its environment, or None where it is not installed."""
    path = environment(name).folder / "bin" / name
    return path if os.access(path, os.X_OK) else None


def version(name: str) -> str | None:
    """The version that its environment holds."""
    distribution = name.replace("-", "_")
    for folder in environment(name).folder.glob(f"lib/python*/site-packages/{distribution}-*.dist-info"):
        if found := re.fullmatch(rf"{distribution}-([^-]+)\.dist-info", folder.name):
            return found[1]
    return None


def nginx() -> Path | None:
    """The system's nginx; Debian keeps it where only root's search path looks."""
    places = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which("nginx", path=places)
    return Path(found) if found else None
