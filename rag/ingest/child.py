"""The process that reads or draws one file, splits texts or embeds them: it binds itself, and tells what it found as JSON, a line each.

It runs for each file, so each kind's reader, and OCR with its models, is imported only where it is needed.
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import astuple
from itertools import islice
from pathlib import Path

from rag.ingest.document import Document, Unreadable

_PR_SET_PDEATHSIG = 1
_NICE = 5
"""How far embedding steps back, so that searches and answers come first where cores are few."""
_LOADING = 600
"""Seconds of processor time for loading an embedding model."""


def _bind(memory: str) -> None:
    if sys.platform == "linux":
        # Whatever ends the server ends its readers, which nobody would hear any more.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if int(memory):
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
    for number, found in ocr.recognise(Path(path), json.loads(pages)):
        yield {"page": number, "lines": found.lines, "boxes": found.boxes}
        _allow(int(processor))


def _split(memory: str, processor: str, most: str, tokenizer: str) -> Iterator[object]:
    _bind(memory)
    _allow(int(processor))
    count = _counter(tokenizer)
    for line in sys.stdin.buffer:
        _allow(int(processor))
        yield _chunks(line, count, int(most))


def _counter(tokenizer: str) -> Callable[[str], int]:
    if not tokenizer:
        return len
    from tokenizers import Tokenizer

    loaded = Tokenizer.from_file(tokenizer)
    loaded.no_truncation()
    loaded.no_padding()
    return lambda text: len(loaded.encode(text, add_special_tokens=False).ids)


def _chunks(line: bytes, count: Callable[[str], int], most: int) -> object:
    from rag.ingest import chunking, laws

    job = json.loads(line)
    found = chunking.chunks(job["text"], job["limit"], count, job["overlap"], job["marked"])
    chunks = list(islice(found, most + 1))
    if len(chunks) > most:
        return {"more": most}
    return {"chunks": [astuple(each) for each in chunks], "laws": laws.held(job["text"], chunks)}


def _embed(
    memory: str, processor: str, threads: str, model: str, query: str, passage: str
) -> Iterator[object]:
    _bind(memory)
    _allow(_LOADING)
    os.nice(_NICE)
    # What the model is made of is here, for the server has it; and no library is to take more threads than it is given.
    os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": threads, "RAYON_NUM_THREADS": threads}
    from rag.index.model import open_model

    opened = open_model(model, query, passage, at_once=int(threads))
    for line in sys.stdin.buffer:
        _allow(int(processor))
        rows = opened.passages(json.loads(line))
        yield {"vectors": base64.b64encode(rows.astype("<f4").tobytes()).decode("ascii")}


def _draw(path: str, memory: str, processor: str) -> Iterator[object]:
    """What to draw comes by standard input: a page's text may be longer than an argument can be."""
    _bind(memory)
    resource.setrlimit(resource.RLIMIT_CPU, (int(processor), int(processor) + 5))
    from rag.ingest import picture

    wanted = json.load(sys.stdin)
    lines = [(text, tuple(box)) for text, box in wanted.pop("lines")]
    try:
        drawn = picture.draw(Path(path), picture.Wanted(**wanted, lines=lines))
        png = base64.b64encode(drawn.png).decode("ascii")
        yield {"png": png, "pages": drawn.pages, "marked": drawn.marked, "top": drawn.top}
    except IndexError as error:
        yield {"pages": error.args[0]}
    except Unreadable as error:
        yield {"error": error.message}
    except (MemoryError, RecursionError):
        yield {"error": "Drawing the page takes more memory than a page should; download the file instead."}


def _allow(seconds: int) -> None:
    """So many more seconds of processor time, counted from now."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def main(mode: str, *arguments: str) -> None:
    """`read`, `recognise`, `split`, `embed` or `draw`, with what that takes; see `rag.ingest.worker`, `rag.ingest.standing`
    and `rag.pictures`."""
    children: dict[str, Callable[..., Iterator[object]]] = {
        "read": _read,
        "recognise": _recognise,
        "split": _split,
        "embed": _embed,
        "draw": _draw,
    }
    for answer in children[mode](*arguments):
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
