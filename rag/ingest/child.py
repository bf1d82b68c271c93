"""The process that reads one file: it binds itself, reads, and tells what it found as JSON, a line each.

It runs for each file, so each kind's reader, and OCR with its models, is imported only where it is needed.
"""

from __future__ import annotations

import ctypes
import json
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from rag.ingest.document import Document, Unreadable

_PR_SET_PDEATHSIG = 1


def _bind(memory: str) -> None:
    if sys.platform == "linux":
        # Whatever ends the server ends its readers, which nobody would hear any more.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def _read(path: str, filename: str, encoding: str, memory: str, processor: str) -> Iterator[object]:
    _bind(memory)
    resource.setrlimit(resource.RLIMIT_CPU, (int(processor), int(processor) + 5))
    try:
        from rag.ingest import reader

        found = reader.read(Path(path), filename, encoding or None)
        if isinstance(found, Document):
            yield {"text": found.text, "pages": found.pages, "facts": found.facts()}
        else:
            yield {"layer": found.pages, "unread": found.unread}
    except Unreadable as error:
        yield {"error": {"code": error.code, "message": error.message}}
    except (MemoryError, RecursionError):
        message = (
            "Reading the file takes more memory than a document should; split it or save it more simply."
        )
        yield {"error": {"code": "invalid_file", "message": message}}


def _recognise(path: str, pages: str, memory: str, processor: str) -> Iterator[object]:
    _bind(memory)
    from rag.ingest import ocr

    _allow(int(processor))
    for number, lines in ocr.recognise(Path(path), json.loads(pages)):
        yield {"page": number, "lines": lines}
        _allow(int(processor))


def _allow(seconds: int) -> None:
    """So many more seconds of processor time, counted from now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def main(mode: str, *arguments: str) -> None:
    """`read` or `recognise`, with what that takes; see `rag.ingest.worker`."""
    children: dict[str, Callable[..., Iterator[object]]] = {"read": _read, "recognise": _recognise}
    for answer in children[mode](*arguments):
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
