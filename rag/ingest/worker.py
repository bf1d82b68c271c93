"""Reading a hostile file in processes of its own, with bounds on memory and time; the server only sees its text.

A child gets no environment to speak of and writes JSON objects to its standard output, a line each. One child reads
what text the file has; where pages of a PDF are pictures, another recognises them, which needs models and much more
time, and tells each page as it is done. Others split texts (`rag.ingest.splitter`), embed passages
(`rag.ingest.embedding`) and draw a page (`rag.pictures`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rag.ingest.document import Document, Recognised, Unreadable
from rag.ingest.pdf import Layer
from rag.ingest.reader import bounded

_ROOT = Path(__file__).resolve().parents[2]
_LONGEST_LINE = 1 << 28
_ENVIRONMENT = {"PATH": os.defpath, "PYTHONPATH": str(_ROOT), "PYTHONUTF8": "1", "LC_ALL": "C.UTF-8"}
_DEVICES = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
_LOST = 3
"""Pages that may end the recognising process before the rest of their file is given up."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading or splitting one file may take: bytes of memory, seconds of processor and of wall time; `page_…`
    for each page that is recognised, `picture_…` for each that is drawn, `embedding_…` for each hundred passages or
    so, its memory beside that of the model's files. Processor time is what ends a file that is made to be slow; wall time is far more, for a busy
    machine must not fail a good one."""

    memory: int = 2 << 30
    processor: int = 120
    wall: float = 900.0
    page_memory: int = 4 << 30
    page_processor: int = 60
    page_wall: float = 900.0
    picture_memory: int = 1 << 30
    picture_processor: int = 30
    picture_wall: float = 90.0
    embedding_memory: int = 4 << 30
    embedding_processor: int = 1800
    embedding_wall: float = 1800.0


@dataclass(frozen=True, slots=True)
class Pages:
    """Recognised pages of one file: those `known` from before, and whom to tell of each that is `done`."""

    known: Mapping[int, list[str]]
    done: Callable[[int, Recognised, int, int], None]  # page, its lines, how many are done, of how many


async def extract(
    path: Path,
    filename: str,
    limits: Limits,
    encoding: str | None = None,
    pages: Pages | None = None,
) -> Document:
    """The text of `path`, read in bounded child processes, in `encoding` where it is named. Raises Unreadable."""
    bounds = (str(limits.memory), str(limits.processor))
    try:
        async with (
            asyncio.timeout(limits.wall),
            child("read", str(path), filename, encoding or "", *bounds) as reader,
        ):
            answer = await answered(reader)
            status = await reader.wait()
    except TimeoutError:
        raise _too_slow(limits.wall) from None
    if answer is None:
        raise _too_slow(limits.processor) if status < 0 else _ended(status)
    if error := answer.get("error"):
        raise Unreadable(error["code"], error["message"])
    if "layer" not in answer:
        return Document.of(answer["text"], answer["pages"], answer["facts"])
    layer = Layer(answer["layer"], tuple(answer["unread"]))
    recognised, lost = await _recognised(path, layer.unread, limits, pages or Pages({}, _nobody))
    return await asyncio.to_thread(lambda: bounded(layer.document(recognised, lost)))


async def _recognised(
    path: Path, unread: Sequence[int], limits: Limits, pages: Pages
) -> tuple[dict[int, list[str]], list[int]]:
    """The lines of the pages that could be recognised, and the pages that could not."""
    found = {number: lines for number, lines in pages.known.items() if number in unread}
    lost: list[int] = []
    while left := [each for each in unread if each not in found and each not in lost]:
        if len(lost) == _LOST:
            return found, lost + left
        bounds = (str(limits.page_memory), str(limits.page_processor))
        async with child("recognise", str(path), json.dumps(left), *bounds) as reader:
            with contextlib.suppress(TimeoutError):
                for _ in left:
                    answer = await asyncio.wait_for(answered(reader), limits.page_wall)
                    if answer is None:
                        break
                    found[answer["page"]] = answer["lines"]
                    seen = Recognised(answer["lines"], answer["boxes"])
                    await asyncio.to_thread(pages.done, answer["page"], seen, len(found), len(unread))
        # Whatever ended the child, the page that it was at is left out, so that the others come in.
        lost += [each for each in left if each not in found][:1]
    return found, lost


def _nobody(_page: int, _seen: Recognised, _done: int, _total: int) -> None:
    return


@asynccontextmanager
async def child(
    *arguments: str, stdin: int = asyncio.subprocess.DEVNULL
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A bounded process at one of the works of `rag.ingest.child`, until the context ends."""
    running = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "rag.ingest.child",
        *arguments,
        cwd=_ROOT,
        env=_ENVIRONMENT | {name: os.environ[name] for name in _DEVICES if name in os.environ},
        stdin=stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=_LONGEST_LINE,
    )
    try:
        yield running
    finally:
        with contextlib.suppress(ProcessLookupError):
            running.kill()
        await running.wait()
        if running.stdin is not None:
            running.stdin.close()
            # How the pipe ended is nobody's concern, but Python 3.11.2 logs it as forgotten unless somebody asks.
            with contextlib.suppress(ConnectionError):
                await running.stdin.wait_closed()


async def answered(running: asyncio.subprocess.Process) -> dict[str, Any] | None:
    """The next object that a child tells; None where it ended before."""
    assert running.stdout is not None
    try:
        answer = json.loads(await running.stdout.readline())
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _ended(status: int) -> Unreadable:
    return Unreadable("server_error", f"Reading the file ended with status {status}; upload it again.")


def _too_slow(seconds: float) -> Unreadable:
    return Unreadable(
        "invalid_file",
        f"Reading the file took more than {seconds:g} seconds; split it or save it more simply.",
    )
