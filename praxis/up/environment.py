"""A virtual environment installed from pinned requirements: made once, and again when the pins change.

`python -m praxis.up.environment` makes one before Praxis itself is installed, so it needs the standard library alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from praxis.errors import PraxisError
from praxis.up.progress import Progress, Report


@dataclass(frozen=True, slots=True)
class Environment:
    """The environment in `folder` that holds what `requirements` pins, and `project` (editable) where given.

    `log` is the file that takes pip's own words.
    """

    folder: Path
    requirements: Path
    log: Path
    project: Path | None = None

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def ready(self) -> bool:
        """Whether a finished installation of exactly these pins is there."""
        return self.python.exists() and self._stamps().get(self.requirements.name) == self._digest(
            self.requirements
        )

    def make(self, report: Report, finish: Callable[[Environment], None] | None = None) -> None:
        """Install what is missing; `finish` runs last, before the environment counts as finished.

        Interrupted, it goes on where it was when called again. Raises PraxisError.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if not self._usable():
            report("making the environment")
            self._run([sys.executable, "-m", "venv", "--clear", str(self.folder)], lambda _: None)
        names = _pinned(self.requirements)
        watch = _PipProgress(len(names), self.folder, report)
        with _ticking(watch.tick):
            self._pip(["-r", str(self.requirements)], watch.line)
            if self.project:
                self._pip(["--no-deps", "-e", str(self.project)], watch.line)
        if finish:
            finish(self)
        included = [self.requirements, *_included(self.requirements)]
        stamps = self._stamps() | {path.name: self._digest(path) for path in included}
        self._stamp.write_text(json.dumps(stamps, indent=1) + "\n")

    @property
    def _stamp(self) -> Path:
        return self.folder / ".praxis.json"

    def _stamps(self) -> dict[str, str]:
        try:
            stamps = json.loads(self._stamp.read_text())
        except (OSError, ValueError):
            return {}
        return stamps if isinstance(stamps, dict) else {}

    def _digest(self, requirements: Path) -> str:
        digest = hashlib.sha256()
        for path in [requirements, *_included(requirements)]:
            digest.update(path.read_bytes())
        if self.project:
            digest.update((self.project / "pyproject.toml").read_bytes())
            digest.update(str(self.project).encode())
        digest.update(sys.version.encode())
        return digest.hexdigest()

    def _usable(self) -> bool:
        """Whether the environment's Python runs, has pip, and is of the version that makes it."""
        if not self.python.exists():
            return False
        question = "import pip, sys; print(sys.version_info[:2] == " + repr(sys.version_info[:2]) + ")"
        answer = subprocess.run(
            [str(self.python), "-c", question], capture_output=True, text=True, check=False
        )
        return answer.stdout.strip() == "True"

    def _pip(self, arguments: list[str], line: Callable[[str], None]) -> None:
        # Most modules are never imported: compiling them all takes longer than what is imported, when it is.
        command = [
            str(self.python),
            "-m",
            "pip",
            "install",
            "--no-compile",
            "--no-input",
            "--progress-bar=off",
        ]
        self._run([*command, "--disable-pip-version-check", *arguments], line)

    def _run(self, command: list[str], line: Callable[[str], None]) -> None:
        """Run `command`, every line of its output into the log and to `line`."""
        with self.log.open("a", encoding="utf-8", errors="replace") as log:
            log.write(f"$ {' '.join(command)}\n")
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
            ) as process:
                assert process.stdout is not None
                try:
                    for text in process.stdout:
                        log.write(text)
                        line(text)
                except BaseException:
                    # Whatever ends the reading, Ctrl-C included, must not leave pip running behind it.
                    process.kill()
                    raise
        if process.returncode:
            raise PraxisError(f"{_reason(self.log)} The whole of it is in `{self.log}`.")


@contextmanager
def _ticking(tick: Callable[[], None]) -> Iterator[None]:
    """Call `tick` every second, because pip installs for minutes without a word."""
    done = threading.Event()

    def run() -> None:
        while not done.wait(1):
            tick()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


_PACKAGE = re.compile(
    r"(?:Collecting|Requirement already satisfied:) ([\w.-]+)|Processing \S*?([\w.]+)-[\w.+!]+-\S+\.whl"
)


class _PipProgress:
    """Turns pip's lines, and while it is silent what it has installed, into how many packages of how many."""

    def __init__(self, total: int, folder: Path, report: Report) -> None:
        self._total = max(total, 1)
        self._report = report
        self._folder = folder
        self._seen: set[str] = set()
        self._megabytes = 0.0
        self._doing = "asking the package index"

    def line(self, text: str) -> None:
        package = _PACKAGE.match(text)
        if package:
            self._seen.add(_canonical(package[1] or package[2]))
            self._doing = "gathering"
        if download := re.search(r"Downloading (\S+) \(([\d.]+) (kB|MB|GB)\)", text):
            name, size, unit = download.groups()
            self._megabytes += float(size) * {"kB": 0.001, "MB": 1.0, "GB": 1000.0}[unit]
            if unit != "kB":
                self._doing = f"downloading {name.split('-')[0]} ({size} {unit})"
        if text.startswith("Installing collected packages"):
            self._doing = f"installing ({self._megabytes:.0f} MB downloaded)"
        self.tick()

    def tick(self) -> None:
        """Say where it stands: a package counts half when it is gathered and wholly when it is installed."""
        installed = len(list(self._folder.glob("lib/python*/site-packages/*.dist-info")))
        count = installed if self._doing.startswith("installing") else len(self._seen)
        text = f"{self._doing}, {min(count, self._total)} of {self._total} packages"
        self._report(text, min(1.0, (len(self._seen) + installed) / (2 * self._total)))


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _included(requirements: Path) -> list[Path]:
    lines = requirements.read_text(encoding="utf-8").splitlines()
    paths = [requirements.parent / line[2:].strip() for line in lines if line.startswith("-r")]
    return [each for path in paths for each in (path, *_included(path))]


def _pinned(requirements: Path) -> list[str]:
    files = [requirements, *_included(requirements)]
    lines = [line for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if "==" in line and not line.startswith("#")]


def _reason(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-200:]
    error = next((line for line in reversed(lines) if line.startswith("ERROR:")), None)
    if any("ensurepip is not available" in line for line in lines):
        return "Python's `venv` module is missing; install it with `apt-get install python3-venv`."
    return error or next((line for line in reversed(lines) if line.strip()), "It gave no reason.")


def main() -> int:
    """Make one environment, with a line of progress. Exit code 1 when it could not be made."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("title", help="what to call it on the screen")
    parser.add_argument("folder", type=Path)
    parser.add_argument("requirements", type=Path)
    parser.add_argument("--project", type=Path, help="install this project too, editable")
    parser.add_argument("--log", type=Path, required=True)
    options = parser.parse_args()
    project = options.project.resolve() if options.project else None
    environment = Environment(options.folder.absolute(), options.requirements, options.log, project)
    if environment.ready():
        return 0
    try:
        with Progress().step(options.title) as report:
            environment.make(report)
    except PraxisError as error:
        print(f"{error} Mend that and run the same command again.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; run the same command again to go on from here.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
