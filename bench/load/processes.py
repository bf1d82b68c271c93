"""The processes of a benchmark: started on a core of their own, looked at while they work, ended with it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from praxis.errors import PraxisError


class Server:
    """A running process with all its children."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path | None = None) -> None:
        self.name = name
        self.process = process
        self._root = psutil.Process(process.pid)
        self._log = log

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def cpu_seconds(self) -> float:
        """The CPU time that it has used."""
        return sum(each.user + each.system for each in (process.cpu_times() for process in self._family()))

    def memory(self) -> float:
        """Its resident memory now, in MiB."""
        return sum(process.memory_info().rss for process in self._family()) / 2**20

    def highest_memory(self) -> float:
        """The most that it was resident since `forget_highest`, in MiB; the present where the system keeps no such record."""
        peaks = [_peak(process.pid) for process in self._family()]
        known = [each for each in peaks if each is not None]
        return sum(known) if len(known) == len(peaks) else self.memory()

    def forget_highest(self) -> None:
        """Start the record of the highest memory anew."""
        for process in self._family():
            with suppress(OSError):
                Path(f"/proc/{process.pid}/clear_refs").write_text("5")

    def log_end(self) -> str:
        """The end of what it wrote."""
        if self._log is None:
            return ""
        return self._log.read_text("utf-8", "replace")[-2000:].strip()

    def wait_until_ready(self, url: str, within: float) -> None:
        """Until `url` answers 200. Raises PraxisError when the process ends before, or after `within` seconds."""
        deadline = time.monotonic() + within
        while self.alive and time.monotonic() < deadline:
            try:
                if httpx.get(url, timeout=5, trust_env=False).status_code == 200:
                    return
            except httpx.TransportError:
                pass  # It does not listen yet.
            time.sleep(0.05)
        what = f"was not ready within {within:g} s" if self.alive else "ended as it started"
        log = self.log_end()
        told = f"The end of its log:\n{log}" if log else "It wrote no log."
        raise PraxisError(f"`{self.name}` {what}. {told}")

    def _family(self) -> list[psutil.Process]:
        """None once it has ended."""
        return [self._root, *self._root.children(recursive=True)] if self.alive else []


def start(
    stack: ExitStack,
    name: str,
    command: Sequence[str],
    core: int | None,
    *,
    log: Path | None = None,
    **variables: str,
) -> Server:
    """Start a process that ends with `stack`, on one core where one is given.

    Its output goes to `log`; without one, stdout is a pipe. It is on its core from its first instruction, because
    servers count the cores that they may use as they start.
    """
    with ExitStack() as opened, on_core(core):
        output = opened.enter_context(log.open("wb")).fileno() if log else subprocess.PIPE
        process = subprocess.Popen(
            command, env=inherited() | variables, stdout=output, stderr=output if log else None
        )
    stack.callback(_end, process)
    return Server(name, process, log)


def inherited() -> dict[str, str]:
    """The variables of this process but those that would lead a gateway elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PRAXIS_")}


@contextmanager
def ends_with_its_processes() -> Iterator[None]:
    """Inside, SIGTERM ends this process by an exception, so that it leaves no server behind."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def two_cores() -> tuple[int | None, int | None]:
    """A core for the server and one for the load: two of different physical cores where there are such."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(cores) < 2:
        return None, None
    siblings = _siblings(cores[0])
    return cores[0], next((core for core in cores[1:] if core not in siblings), cores[1])


def busy_seconds(core: int | None) -> float:
    """How long `core` has worked, for whomever; a host that takes it away counts too."""
    if core is None:
        return 0.0
    times = psutil.cpu_times(percpu=True)[core]
    # A guest's time is part of user's.
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


def _siblings(core: int) -> set[int]:
    """The logical cores that share the physical one of `core`."""
    try:
        text = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list").read_text()
    except OSError:
        return {core}
    found: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """What is started inside stays on `core`."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _peak(pid: int) -> float | None:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else None


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
