"""The processes of one `praxis up`, kept by supervisord: started, logged, restarted with back-off, stopped together.

supervisord (http://supervisord.org) runs in the foreground in a session of its own, so that Ctrl-C reaches only
`praxis up`, which then stops everything in order. It is tied to `praxis up`, and each program to it, by the
kernel's parent-death signal: whoever is killed, nothing is left behind.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from xmlrpc.client import ServerProxy

import psutil
from supervisor.xmlrpc import SupervisorTransport

from praxis.errors import PraxisError
from praxis.up import program

_SETTLED = 10
"""Seconds after which a program counts as started; one that dies sooner waits longer before each new start."""

_SPAWNED = re.compile(r"spawned: '(\S+)' with pid (\d+)")
_EXITED = re.compile(r"exited: (\S+) \((.+); (?:not )?expected\)")

_LOG_BYTES, _LOG_BACKUPS = 20_000_000, 3


@dataclass(frozen=True, slots=True)
class Program:
    """One process to run: `stop_after` is how many seconds it has between SIGTERM and SIGKILL."""

    name: str
    command: Sequence[str]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    start: bool = True
    stop_after: int = 20


@dataclass(frozen=True, slots=True)
class Death:
    """A program ended that should run: how, the end of its log, and how often it has died by now."""

    name: str
    how: str
    log: Path
    tail: str
    count: int

    def __str__(self) -> str:
        return f"`{self.name}` died ({self.how}). The end of {self.log}:\n{self.tail}"


class Supervisor:
    """Runs `programs`; `run` takes the generated files, `logs` what the programs print.

    supervisord, and none of the programs, keeps the file descriptors `keep_open`.

    A context manager: entered, the programs run; left, none does.
    """

    def __init__(
        self, programs: Sequence[Program], run: Path, logs: Path, keep_open: Sequence[int] = ()
    ) -> None:
        self._programs = list(programs)
        self._run = run
        self._logs = logs
        self._keep_open = keep_open
        # A Unix socket's path may have 107 characters at most, which a folder of the user's may exceed.
        self._sockets = run if len(str(run)) < 85 else Path(tempfile.mkdtemp(prefix="praxis-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._pids: dict[str, int] = {}
        self._deaths: Counter[str] = Counter()
        self._events_log = logs / "supervisord.log"
        self._read = 0
        self._logged: dict[str, int] = {}

    def __enter__(self) -> Self:
        self._run.mkdir(parents=True, exist_ok=True)
        self._logs.mkdir(parents=True, exist_ok=True)
        self._write_files()
        logs = {each.name: self.log(each.name) for each in self._programs}
        self._logged = {name: log.stat().st_size for name, log in logs.items() if log.exists()}
        command = [sys.executable, program.__file__, str(self._run / "programs.json"), "supervisord"]
        with self._events_log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=self._keep_open,
            )
        try:
            self._await_answer()
        except BaseException:
            # Whatever goes wrong here, __exit__ will not be called.
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def pids(self) -> dict[str, int]:
        """The process id of each program that runs."""
        with self._proxy() as proxy:
            answer: Any = proxy.supervisor.getAllProcessInfo()
        return {each["name"]: each["pid"] for each in answer if each["pid"]}

    def start(self, name: str) -> None:
        """Start a program that was not to start by itself."""
        with self._proxy() as proxy:
            proxy.supervisor.startProcess(name, False)

    def log(self, name: str) -> Path:
        """Where `name` logs."""
        return self._logs / f"{name}.log"

    def tail(self, name: str, lines: int = 15) -> str:
        """The last `lines` that `name` has logged in this run, indented."""
        return _tail(self.log(name), lines, self._logged.get(name, 0))

    def deaths(self) -> list[Death]:
        """The programs that died since the last call. Raises PraxisError when supervisord itself is gone."""
        assert self._process is not None
        found = []
        for name, how in self._ends():
            self._deaths[name] += 1
            found.append(Death(name, how, self.log(name), self.tail(name), self._deaths[name]))
        if self._process.poll() is not None and not found:
            raise PraxisError(
                f"supervisord is gone; the end of {self._events_log}:\n{_tail(self._events_log)}"
            )
        return found

    def stop(self) -> None:
        """Stop every program, and whatever they started, then supervisord. Safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        children = _descendants(process.pid)
        if process.poll() is None:
            process.terminate()
        patience = max((each.stop_after for each in self._programs), default=0) + 10
        try:
            process.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for child in children:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue
        self._ends()
        for group in self._pids.values():
            _kill_group(group)
        psutil.wait_procs(children, timeout=5)
        if self._sockets != self._run:
            shutil.rmtree(self._sockets, ignore_errors=True)

    def _ends(self) -> list[tuple[str, str]]:
        """Which programs ended, and how, since the last call, by supervisord's log, which tells every start and end."""
        with self._events_log.open("rb") as file:
            file.seek(self._read)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._read += len(whole) + len(newline)
        ends = []
        for line in whole.decode(errors="replace").splitlines():
            if match := _SPAWNED.search(line):
                self._pids[match[1]] = int(match[2])
            elif match := _EXITED.search(line):
                # What the dead program started would otherwise keep its memory and its port.
                _kill_group(self._pids.pop(match[1], 0))
                ends.append((match[1], match[2]))
        return ends

    def _proxy(self) -> ServerProxy:
        transport = SupervisorTransport(None, None, f"unix://{self._sockets / 'control'}")
        return ServerProxy("http://127.0.0.1", transport=transport)

    def _await_answer(self) -> None:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self._process and self._process.poll() is None:
            try:
                with self._proxy() as proxy:
                    proxy.supervisor.getState()
            except OSError:
                time.sleep(0.05)
            else:
                return
        raise PraxisError(f"supervisord did not start; the end of its log:\n{_tail(self._events_log)}")

    def _write_files(self) -> None:
        config = self._run / "supervisord.conf"
        supervisord = [sys.executable, "-m", "supervisor.supervisord", "-n", "-c", str(config)]
        itself = Program("supervisord", supervisord, Path.cwd())
        described = {
            each.name: {
                "command": list(each.command),
                "folder": str(each.folder),
                # Where the shell forbids bytecode, an engine would compile all that it imports at each start.
                "environment": {"PYTHONDONTWRITEBYTECODE": "", **each.environment},
            }
            for each in [itself, *self._programs]
        }
        # It holds the engines' keys, so nobody else may read it, from its first byte on.
        with open(os.open(self._run / "programs.json", _PRIVATE, 0o600), "w", encoding="utf-8") as file:
            json.dump(described, file, indent=1, ensure_ascii=False)
        config.write_text(self._config(), encoding="utf-8")

    def _config(self) -> str:
        command = f"{sys.executable} {program.__file__} {self._run / 'programs.json'}"
        sections = [
            "[supervisord]\nnodaemon=true\nloglevel=info\nlogfile=/dev/null\nlogfile_maxbytes=0\n"
            f"pidfile={_escape(str(self._sockets / 'supervisord.pid'))}\n",
            "[rpcinterface:supervisor]\n"
            "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n",
            f"[unix_http_server]\nfile={_escape(str(self._sockets / 'control'))}\nchmod=0600\n",
        ]
        sections += [
            f"[program:{each.name}]\n"
            f"command={_escape(command)} {each.name}\n"
            f"autostart={str(each.start).lower()}\nautorestart=true\n"
            f"startsecs={_SETTLED}\nstartretries=1000\n"
            f"stopsignal=TERM\nstopwaitsecs={each.stop_after}\nstopasgroup=true\nkillasgroup=true\n"
            f"redirect_stderr=true\nstdout_logfile={_escape(str(self.log(each.name)))}\n"
            f"stdout_logfile_maxbytes={_LOG_BYTES}\nstdout_logfile_backups={_LOG_BACKUPS}\n"
            for each in self._programs
        ]
        return "\n".join(sections)


_PRIVATE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC


def _escape(text: str) -> str:
    return text.replace("%", "%%")


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _kill_group(pid: int) -> None:
    if pid:
        try:
            os.killpg(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return


def _tail(path: Path, lines: int = 15, start: int = 0) -> str:
    """The last `lines` of a log, of what was written after `start` bytes unless it was rotated since."""
    try:
        with path.open("rb") as file:
            size = path.stat().st_size
            file.seek(max(start if start <= size else 0, size - 16_384))
            text = file.read().decode(errors="replace")
    except OSError:
        return "  (no log)"
    return "\n".join(f"  {line}" for line in text.rstrip().splitlines()[-lines:]) or "  (empty)"
