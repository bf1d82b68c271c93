"""Reading a hostile file in a process of its own, with bounds on memory and time; the server only sees its text.

The child gets no environment to speak of, writes one JSON object to its standard output and ends.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path

from rag.ingest.document import Document, Unreadable

_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading one file may take: bytes of memory, seconds of processor and of wall time."""

    memory: int = 2 << 30
    processor: int = 120
    wall: float = 300.0


async def extract(path: Path, filename: str, limits: Limits, encoding: str | None = None) -> Document:
    """The text of `path`, read in a bounded child process, in `encoding` where it is named. Raises Unreadable."""
    arguments = (str(path), filename, encoding or "", str(limits.memory), str(limits.processor))
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "rag.ingest.worker",
        *arguments,
        cwd=_ROOT,
        env={"PATH": os.defpath, "PYTHONPATH": str(_ROOT), "PYTHONUTF8": "1", "LC_ALL": "C.UTF-8"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        output, _ = await asyncio.wait_for(child.communicate(), limits.wall)
    except TimeoutError:
        raise _too_slow(limits.wall) from None
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()
    return _result(output, child.returncode or 0, limits)


def _result(output: bytes, status: int, limits: Limits) -> Document:
    if status < 0:
        raise _too_slow(limits.processor)
    try:
        answer = json.loads(output)
    except ValueError:
        raise Unreadable(
            "server_error", f"Reading the file ended with status {status}; upload it again."
        ) from None
    if error := answer.get("error"):
        raise Unreadable(error["code"], error["message"])
    return Document.of(answer["text"], answer["pages"], answer["facts"])


def _too_slow(seconds: float) -> Unreadable:
    return Unreadable(
        "invalid_file",
        f"Reading the file took more than {seconds:g} seconds; split it or save it more simply.",
    )


def main(path: str, filename: str, encoding: str, memory: str, processor: str) -> None:
    """The child: bind itself, read, answer."""
    resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    resource.setrlimit(resource.RLIMIT_CPU, (int(processor), int(processor) + 5))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        from rag.ingest import reader

        document = reader.read(Path(path), filename, encoding or None)
        answer: object = {"text": document.text, "pages": document.pages, "facts": document.facts()}
    except Unreadable as error:
        answer = {"error": {"code": error.code, "message": error.message}}
    except (MemoryError, RecursionError):
        message = (
            "Reading the file takes more memory than a document should; split it or save it more simply."
        )
        answer = {"error": {"code": "invalid_file", "message": message}}
    sys.stdout.write(json.dumps(answer))


if __name__ == "__main__":
    main(*sys.argv[1:])
