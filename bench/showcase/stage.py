"""A whole Praxis for the show: one base model, its adapter, the two merged, and an assistant over the sample statutes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from bench.load.processes import free_port, start
from praxis.up.first_start import KNOWLEDGE
from praxis.up.progress import Report
from praxis.weights import EMBEDDED, prepare

BASE = "smollm2"
ADAPTER = "tuned"
MERGED = "tuned-merged"
ASSISTANT = "grounded"
TARGETS = (BASE, ADAPTER, MERGED, ASSISTANT)

_READY_SECONDS = 1200.0
_SHARED = ("engines", "models", "downloads")


class Stage:
    """The show's folder, which shares with the home of Praxis only what is costly to fetch."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder.resolve()
        self.adapter = self.folder / "adapters" / ADAPTER
        self.merged = self.folder / MERGED
        self.config = self.folder / "models.yaml"
        self.log = self.folder / "up.log"
        self._home = self.folder / ".praxis"
        self._home.mkdir(parents=True, exist_ok=True)
        for shared in _SHARED:
            (home / shared).mkdir(parents=True, exist_ok=True)
            if not (self._home / shared).exists():
                (self._home / shared).symlink_to((home / shared).resolve())

    def weights(self, report: Report) -> Path:
        """The base's folder, its weights made ready. Raises PraxisError."""
        return prepare(EMBEDDED[BASE], self._home / "models", report)

    def merge(self, base: Path) -> list[str]:
        """The command that merges the trained adapter into `base`."""
        return [sys.executable, "-m", "praxis", "adapters", "merge", str(self.adapter), "--base", str(base),
                "--out", str(self.merged)]  # fmt: skip

    def configure(self) -> None:
        """Write the models.yaml. Everything listens on this machine alone, so no keys are needed."""
        self.config.write_text(yaml.safe_dump(self._document()), "utf-8")

    @contextmanager
    def running(self) -> Iterator[str]:
        """The gateway's URL, once everything is ready. Raises PraxisError where something does not start."""
        self.configure()
        port = free_port()
        command = [sys.executable, "-m", "praxis", "up", "--config", str(self.config), "--port", str(port),
                   "--ui-port", str(free_port())]  # fmt: skip
        with ExitStack() as stack:
            server = start(stack, "praxis up", command, None, log=self.log, PRAXIS_HOME=str(self._home))
            url = f"http://127.0.0.1:{port}"
            server.wait_until_ready(f"{url}/readyz", _READY_SECONDS)
            yield url

    def _document(self) -> dict[str, Any]:
        return {
            "server": {"auth": "none", "adapter_roots": [str(self.folder)]},
            "backends": {
                "local": _engine(BASE, enable_lora=True, max_lora_rank=16),
                "merged": _engine(str(self.merged)),
            },
            "models": {BASE: {"backend": "local", "upstream": BASE}},
            "adapters": {
                ADAPTER: {"base": BASE, "source": str(self.adapter)},
                MERGED: {
                    "base": BASE,
                    "source": str(self.merged),
                    "mode": "merged",
                    "backend": "merged",
                },
            },
            "rag": {"url": f"http://127.0.0.1:{free_port()}"},
            "assistants": {ASSISTANT: {"model": BASE, "knowledge": [KNOWLEDGE], "top_k": 3}},
        }


def _engine(model: str, **flags: Any) -> dict[str, Any]:
    launch = {"model": model, "max_model_len": 4096, **flags}
    return {"kind": "vllm", "replicas": [f"http://127.0.0.1:{free_port()}"], "launch": launch}
