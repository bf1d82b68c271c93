"""Carry out a plan: warm up, then every load on every target, round by round, and keep all of it."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from typing import Any

from bench.eval.rows import Example
from bench.serve.figures import figures
from bench.serve.prompts import Length, Prompt, of_length, of_rows
from bench.serve.schedule import arrivals
from bench.serve.stream import Client, Outcome, failures
from praxis.errors import UpstreamError

Report = Callable[[str, int, int, int], None]
"""Told after every request: which run, requests done, requests in all, requests that failed."""

_CALIBRATION = (64, 192)
"""Words of the two prompts from which the tokens of a word are learned."""


@dataclass(frozen=True, slots=True)
class Load:
    """Open loop at `rate` requests a second (infinite: all at once), or closed loop where that is None.

    `places` is how many requests may be under way: the clients of a closed loop; of an open one a cap, or None.
    """

    rate: float | None
    places: int | None

    @property
    def title(self) -> str:
        if self.rate is None:
            return f"concurrency {self.places}"
        return f"rate {self.rate:g}" + (f", at most {self.places}" if self.places else "")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked of which targets. `input_tokens` sizes prompts where there are no `rows`; `slos` are in ms."""

    url: str
    targets: Sequence[str]
    loads: Sequence[Load]
    prompts: int
    output_tokens: int
    rows: Sequence[Example] = ()
    input_tokens: int = 512
    burstiness: float = 1.0
    rounds: int = 1
    warm_up: int = 2
    seed: int = 0
    timeout: float = 600.0
    percentiles: Sequence[float] = (50, 90, 95, 99)
    slos: Mapping[str, float] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)

    def settings(self) -> dict[str, Any]:
        """What makes the run repeatable."""
        kept = {name: value for name, value in asdict(self).items() if name not in ("rows", "url", "loads")}
        kept["rows"] = len(self.rows)
        kept["burstiness"] = "inf" if math.isinf(self.burstiness) else self.burstiness
        return kept | {"loads": [each.title for each in self.loads]}


async def measure(plan: Plan, key: str | None, report: Report) -> dict[str, Any]:
    """Everything that was seen. Raises UpstreamError where a target answers no request of the warm-up."""
    began = time.time()
    runs: dict[tuple[str, Load], list[dict[str, Any]]] = {
        (target, load): [] for load in plan.loads for target in plan.targets
    }
    clients = {name: Client(plan.url, key, name, plan.more, plan.timeout) for name in plan.targets}
    try:
        words = {name: await _warm_up(client, name, plan) for name, client in clients.items()}
        for round_ in range(plan.rounds):
            for number, load in enumerate(plan.loads):
                for target, client in clients.items():
                    seed = plan.seed + 1 + round_ * len(plan.loads) + number
                    prompts = _prompts(plan, words[target], plan.prompts, seed)
                    title = f"{target}, {load.title}" + (f" ({round_ + 1})" if plan.rounds > 1 else "")
                    runs[target, load].append(await _run(client, load, prompts, plan, seed, title, report))
    finally:
        for client in clients.values():
            client.close()
    return {
        "kind": "serve",
        "praxis": version("praxis"),
        "date": time.strftime("%Y%m%d-%H%M%S", time.localtime(began)),
        "machine": {
            "system": platform.platform(),
            "python": platform.python_version(),
            "cores": os.cpu_count(),
        },
        "url": plan.url,
        "endpoint_type": "openai-chat",
        "settings": plan.settings(),
        "runs": [
            {
                "model_id": target,
                "load": load.title,
                "request_rate": "inf" if load.rate is None or math.isinf(load.rate) else load.rate,
                "max_concurrency": load.places,
                "rounds": rounds,
            }
            for (target, load), rounds in runs.items()
        ],
    }


async def _warm_up(client: Client, target: str, plan: Plan) -> int:
    """Ask a few requests that count nowhere; the words of a prompt that has the wished tokens. Raises UpstreamError."""
    length = Length(plan.input_tokens)
    if not plan.rows:
        shots = [(await _ask_first(client, target, words, plan)).input_tokens for words in _CALIBRATION]
        if all(shots):
            length = length.learned(_CALIBRATION, shots)
    for prompt in _prompts(plan, length.words(), plan.warm_up, plan.seed):
        outcome = await client.ask(prompt, time.perf_counter())
        if outcome.error is not None:
            raise _unable(target, outcome)
    return length.words()


async def _ask_first(client: Client, target: str, words: int, plan: Plan) -> Outcome:
    (prompt,) = of_length(1, words, 2, plan.seed)
    outcome = await client.ask(prompt, time.perf_counter())
    if outcome.error is not None:
        raise _unable(target, outcome)
    return outcome


def _unable(target: str, outcome: Outcome) -> UpstreamError:
    return UpstreamError(
        f"`{target}` does not answer the warm-up ({outcome.error}): {outcome.message.strip()} "
        "Nothing was measured; is the model there, and does the prompt fit its window?"
    )


def _prompts(plan: Plan, words: int, count: int, seed: int) -> list[Prompt]:
    if plan.rows:
        return of_rows(count, plan.rows, plan.output_tokens, seed)
    return of_length(count, words, plan.output_tokens, seed)


async def _run(
    client: Client,
    load: Load,
    prompts: Sequence[Prompt],
    plan: Plan,
    seed: int,
    title: str,
    report: Report,
) -> dict[str, Any]:
    outcomes: list[Outcome] = []

    def keep(outcome: Outcome) -> None:
        outcomes.append(outcome)
        report(title, len(outcomes), len(prompts), len(failures(outcomes)))

    # A pause of the collector would be taken for one of the server.
    gc.disable()
    cpu, began = time.process_time(), time.perf_counter()
    try:
        if load.rate is None:
            await _closed(client, prompts, load.places or 1, keep)
        else:
            due = [began + each for each in arrivals(len(prompts), load.rate, plan.burstiness, seed)]
            await _open(client, prompts, due, load.places, keep)
    finally:
        gc.enable()
    duration = time.perf_counter() - began
    outcomes.sort(key=lambda each: (each.due, each.sent))
    return figures(
        outcomes,
        began=began,
        duration=duration,
        cpu=time.process_time() - cpu,
        percentiles=plan.percentiles,
        slos=plan.slos,
        capped=load.places is not None,
    )


async def _closed(
    client: Client, prompts: Sequence[Prompt], places: int, keep: Callable[[Outcome], None]
) -> None:
    """Each of so many clients asks again when its last answer is there: a request is due when it leaves."""
    waiting = iter(prompts)

    async def work(waiting: Iterator[Prompt]) -> None:
        for prompt in waiting:
            keep(await client.ask(prompt, time.perf_counter()))

    async with asyncio.TaskGroup() as group:
        for _ in range(places):
            group.create_task(work(waiting))


async def _open(
    client: Client,
    prompts: Sequence[Prompt],
    due: Sequence[float],
    places: int | None,
    keep: Callable[[Outcome], None],
) -> None:
    """Each request leaves when it is due, whatever became of those before; where places are few, it waits for one."""
    free = asyncio.Semaphore(places) if places else None

    async def one(prompt: Prompt, moment: float) -> None:
        if free is None:
            keep(await client.ask(prompt, moment))
            return
        async with free:
            keep(await client.ask(prompt, moment))

    async with asyncio.TaskGroup() as group:
        for prompt, moment in zip(prompts, due, strict=True):
            await asyncio.sleep(moment - time.perf_counter())
            group.create_task(one(prompt, moment))
