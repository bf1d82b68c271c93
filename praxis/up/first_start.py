"""What the first start makes: the secrets between the processes, the first keys, the sample knowledge base."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from sqlalchemy import Connection

from praxis.config import Config
from praxis.errors import PraxisError
from praxis.keys import OPERATOR, Keys
from praxis.section import read_secret
from praxis.state import Step, connect, migrate, writing
from praxis.up.progress import Report

SAMPLES = Path(__file__).resolve().parents[2] / "samples"
KNOWLEDGE = "labour-law"
"""The knowledge base that the samples fill."""

_METADATA = sa.MetaData()
_filled = sa.Table(
    "sample",
    _METADATA,
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("sha256", sa.String(64), nullable=False),
)


def _keep_samples(connection: Connection) -> None:
    _METADATA.create_all(connection, [_filled])


STEPS: Sequence[Step] = (_keep_samples,)
"""What makes the table of the samples that were put there: beside the knowledge base itself, so that a new state gets
them and one from which the operator has deleted them does not."""


def make_secrets(config: Config) -> dict[str, str]:
    """Environment variables that point to the secrets which the operator has not set, made where they are not yet.

    Each lies in a file of its own that only this user may read; `NAME_FILE` names it.
    """
    launched = [each.api_key_env for each in config.backends.values() if each.launch]
    pointers = {}
    for name in [config.rag.secret_env, *launched]:
        if name is None or read_secret(name):
            continue
        file = config.home / "secrets" / name
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not file.exists():
            partial = file.with_suffix(".partial")
            partial.touch(mode=0o600)
            partial.write_text(secrets.token_urlsafe(32) + "\n")
            partial.replace(file)
        pointers[f"{name}_FILE"] = str(file)
    return pointers


def make_keys(config: Config) -> dict[str, str]:
    """The first admin and user key by name, or nothing where keys exist or none are asked for."""
    if config.server.auth == "none":
        return {}
    keys = Keys(connect(config.state))
    if keys.list():
        return {}
    return {"admin": keys.create("admin", admin=True)[1], "user": keys.create("user")[1]}


class Samples:
    """The files in `folder` as the knowledge base `labour-law` of the operator, put there once.

    They go to rag itself, with the secret that the gateway uses, so that no key needs to exist for it. A sample is
    known by its SHA-256: an interrupted filling goes on where it was, and a changed sample replaces its old text.
    """

    def __init__(self, config: Config, folder: Path = SAMPLES) -> None:
        self._config = config
        self._files = {
            path: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.glob("*"))
            if path.suffix in (".txt", ".pdf")
        }
        self._state = connect(config.state)
        migrate(self._state, "samples", STEPS)

    def needed(self) -> bool:
        """Whether an assistant answers from them and not all of them have been put there."""
        asked = any(KNOWLEDGE in each.knowledge for each in self._config.assistants.values())
        return asked and bool(self._files) and self._done() != self._names()

    def fill(self, report: Report, check: Callable[[], None]) -> None:
        """Upload and index what is missing; `check` is called while waiting. Raises PraxisError."""
        headers = {
            "authorization": f"Bearer {self._config.rag.secret()}",
            "x-praxis-tenant": OPERATOR,
            "x-praxis-key": "up",
            "x-praxis-role": "admin",
            "x-praxis-knowledge": "*",
        }
        with httpx.Client(
            base_url=f"{self._config.rag.url}/v1", headers=headers, timeout=120, trust_env=False
        ) as client:
            store = self._store(client)
            present = self._present(client, store)
            for index, (path, digest) in enumerate(self._files.items()):
                report(path.name, index / len(self._files))
                if digest not in present:
                    self._add(client, store, path, digest, check)
            for digest, file in present.items():
                if digest not in self._files.values():
                    _json(client.delete(f"/vector_stores/{store}/files/{file}"))
                    _json(client.delete(f"/files/{file}"))
        self._remember()

    def _names(self) -> dict[str, str]:
        return {path.name: digest for path, digest in self._files.items()}

    def _done(self) -> dict[str, str]:
        with self._state.connect() as connection:
            return {row.name: row.sha256 for row in connection.execute(sa.select(_filled))}

    def _remember(self) -> None:
        with writing(self._state).begin() as connection:
            connection.execute(sa.delete(_filled))
            connection.execute(
                sa.insert(_filled),
                [{"name": name, "sha256": digest} for name, digest in self._names().items()],
            )

    def _store(self, client: httpx.Client) -> str:
        stores = _json(client.get("/vector_stores", params={"limit": 100}))["data"]
        found = next((each["id"] for each in stores if each["name"] == KNOWLEDGE), None)
        return str(found or _json(client.post("/vector_stores", json={"name": KNOWLEDGE}))["id"])

    def _present(self, client: httpx.Client, store: str) -> dict[str, str]:
        """The file id of each sample that is indexed, by digest; what an interruption left half done is removed."""
        present: dict[str, str] = {}
        for each in _json(client.get(f"/vector_stores/{store}/files", params={"limit": 100}))["data"]:
            digest = (each.get("attributes") or {}).get("sha256")
            if digest and each["status"] == "completed":
                present[str(digest)] = each["id"]
            elif digest:
                _json(client.delete(f"/vector_stores/{store}/files/{each['id']}"))
        return present

    def _add(
        self, client: httpx.Client, store: str, path: Path, digest: str, check: Callable[[], None]
    ) -> None:
        upload = {"file": (path.name, path.read_bytes())}
        file = _json(client.post("/files", data={"purpose": "assistants"}, files=upload))["id"]
        attached = {"file_id": file, "attributes": {"sha256": digest}}
        state = _json(client.post(f"/vector_stores/{store}/files", json=attached))
        while state["status"] == "in_progress":
            check()
            time.sleep(0.2)
            state = _json(client.get(f"/vector_stores/{store}/files/{file}"))
        if state["status"] != "completed":
            reason = (state.get("last_error") or {}).get("message", "rag gave no reason")
            raise PraxisError(f"The sample `{path.name}` could not be indexed: {reason}")


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = response.json()
    except ValueError:
        answer = {}
    if response.is_error:
        reason = (answer.get("error") or {}).get("message", f"HTTP {response.status_code}")
        raise PraxisError(f"rag refused `{response.request.method} {response.request.url.path}`: {reason}")
    return answer
