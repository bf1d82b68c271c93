"""The workers of one gateway, seen from one of them: a scrape that reaches any of them tells of all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
from collections.abc import Callable, Mapping

from gateway.place import Place

logger = logging.getLogger("praxis.gateway.siblings")

ANSWER_SECONDS = 1.0


class Siblings:
    """Tells this worker's metrics to the others through a Unix socket, and merges theirs into one text.

    Each series has the label `worker`, so that Prometheus sees a restarted worker's counters begin anew by themselves
    and `rate` stays right. A gateway without `place` is the only one, and its text stays as it is.
    """

    def __init__(self, place: Place | None, render: Callable[[], bytes]) -> None:
        self._place = place
        self._render = render

    async def run(self) -> None:
        """Answer the others until cancelled."""
        if self._place is None:
            await asyncio.Event().wait()  # there are none
            return
        door = self._place.door(self._place.index)
        door.unlink(missing_ok=True)  # of an earlier life, which ended without cleaning up
        parent = os.getppid()
        try:
            async with await asyncio.start_unix_server(self._answer, door) as server:
                await server.serve_forever()
        finally:
            if os.getppid() != parent:  # it was killed, and tidies up no more
                shutil.rmtree(self._place.folder, ignore_errors=True)

    async def metrics(self) -> bytes:
        """The text for Prometheus; a worker that does not answer is left out, and `praxis_worker_up` says so."""
        place = self._place
        if place is None:
            return self._render()
        others = [index for index in range(place.count) if index != place.index]
        answers = await asyncio.gather(*(self._ask(place, index) for index in others))
        texts = {place.index: self._render()}
        texts |= {index: text for index, text in zip(others, answers, strict=True) if text is not None}
        up = "".join(f'praxis_worker_up{{worker="{n}"}} {float(n in texts)}\n' for n in range(place.count))
        head = "# HELP praxis_worker_up 1 when the worker answers.\n# TYPE praxis_worker_up gauge\n"
        return merge(texts) + (head + up).encode()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(self._render())
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()

    async def _ask(self, place: Place, index: int) -> bytes | None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(place.door(index))
                try:
                    return await reader.read(-1)
                finally:
                    writer.close()
        except OSError:  # a timeout is one too
            return None


def merge(texts: Mapping[int, bytes]) -> bytes:
    """One text of several in Prometheus' format: the samples of each family together, each with its `worker`."""
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for worker, text in sorted(texts.items()):
        family = ""
        for line in text.decode().splitlines():
            if line.startswith("# "):
                family = line.split(" ", 3)[2]
                head = heads.setdefault(family, [])
                if line not in head:
                    head.append(line)
            elif line:
                samples.setdefault(family, []).append(_marked(line, worker))
    lines = [line for family in heads for line in (*heads[family], *samples.get(family, ()))]
    return "".join(f"{line}\n" for line in lines).encode()


def _marked(sample: str, worker: int) -> str:
    name, brace, rest = sample.partition("{")
    if brace and " " not in name:
        return f'{name}{{worker="{worker}",{rest}'
    name, _, value = sample.partition(" ")
    return f'{name}{{worker="{worker}"}} {value}'
