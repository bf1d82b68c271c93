"""PostgreSQL and Redis, real servers on free ports, begun and ended by the tests that need them."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import psycopg

from tests.processes import eventually, free_port


class PostgreSQL:
    """A cluster of its own. Alive inside `with`; `stop` and `start` take it away and bring it back with its data.

    With `pgvector` it is the server that the package `pgserver` brings, for Debian's lacks the extension.
    """

    def __init__(self, *, pgvector: bool = False) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="praxis-postgresql-"))
        self._programs: Path | None = None
        if pgvector:
            package = importlib.util.find_spec("pgserver")
            assert package is not None
            assert package.origin is not None
            # Another user runs it, who may not look into wherever the packages are.
            for name in ("pgserver/pginstall", "pgserver.libs"):
                shutil.copytree(Path(package.origin).parent.parent / name, self._folder / name)
            self._folder.chmod(0o755)
            self._programs = self._folder / "pgserver" / "pginstall" / "bin"
        # The server refuses to run as root; Debian's package brings the user that it runs as.
        self._user = "postgres" if os.geteuid() == 0 else None
        if self._user:
            os.chown(self._folder, pwd.getpwnam(self._user).pw_uid, -1)
        self.port = free_port()
        self._databases = 0

    def __enter__(self) -> Self:
        self._run("initdb", "-A", "trust", "-U", "praxis", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8")
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if (self._folder / "data" / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Begin to serve."""
        settings = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run("pg_ctl", "-w", "-l", str(self._folder / "log"), "-o", settings, "start")

    def stop(self) -> None:
        """Go away at once, as in a crash."""
        self._run("pg_ctl", "-w", "-m", "immediate", "stop")

    def database(self) -> str:
        """The URL of a new, empty database."""
        self._databases += 1
        name = f"test{self._databases}"
        with psycopg.connect(self._dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql+psycopg://praxis@127.0.0.1:{self.port}/{name}"

    def load(self, url: str, script: str) -> None:
        """Run a script of SQL in the database of `url`."""
        with psycopg.connect(self._dsn(url.rsplit("/", 1)[1])) as connection:
            connection.execute(script.encode())

    def _dsn(self, name: str) -> str:
        return f"postgresql://praxis@127.0.0.1:{self.port}/{name}"

    def _run(self, program: str, *arguments: str) -> None:
        debian = "/usr/lib/postgresql/*/bin"
        found = str(self._programs / program) if self._programs else _program(program, debian)
        command = [found, "-D", str(self._folder / "data")]
        as_user: Sequence[str] = ["runuser", "-u", self._user, "--"] if self._user else []
        # Not to a pipe: the server inherits it and would keep it open.
        with (self._folder / "out").open("wb") as out:
            done = subprocess.run(
                [*as_user, *command, *arguments], cwd="/", stdout=out, stderr=out, timeout=120
            )
        assert done.returncode == 0, (self._folder / "out").read_text()


class Redis:
    """A Redis that keeps nothing on disk. Alive inside `with`; `kill` takes it away, `start` brings an empty one."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def start(self) -> None:
        """Begin to serve."""
        settings = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._process = subprocess.Popen(
            [_program("redis-server", ""), *settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        eventually(lambda: self.tell("ping").strip() == "PONG", "Redis answers")

    def tell(self, *command: str) -> str:
        """What `redis-cli` says to a command."""
        done = subprocess.run(
            [_program("redis-cli", ""), "-p", str(self.port), *command],
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.stdout

    def freeze(self) -> None:
        """Let it keep its connections and answer nothing, as behind a broken network."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Answer again."""
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Go away at once."""
        self._process.kill()
        self._process.wait()


def _program(name: str, folders: str) -> str:
    found = shutil.which(name)
    if found is None and folders:
        found = next((str(each / name) for each in sorted(Path("/").glob(folders.lstrip("/")))), None)
    assert found, f"the tests need `{name}`: run `make debian`, or install it by the system's own means"
    return found
