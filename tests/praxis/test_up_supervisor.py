"""The processes of a stack: told of when they die, restarted, and gone when whoever started them is gone."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from praxis.errors import PraxisError
from praxis.up.supervisor import Death, Program, Supervisor
from tests.processes import ROOT, eventually

FOREVER = "import time; print('here', flush=True); time.sleep(3600)"
FAMILY = (
    "import subprocess, sys, time;"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(3600)']);"
    "print(child.pid, flush=True); time.sleep(3600)"
)


def python(name: str, code: str, folder: Path, **environment: str) -> Program:
    """A program that runs `code`."""
    return Program(name, [sys.executable, "-c", code], folder, environment, stop_after=5)


def supervised(folder: Path, *programs: Program) -> Supervisor:
    """`programs` with their files under `folder`."""
    return Supervisor(programs, folder / "run", folder / "logs")


def gone(pids: Sequence[int]) -> bool:
    """Whether none of the processes lives; one that waits to be collected by its parent counts as gone."""

    def lives(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    return not any(map(lives, pids))


def logged_pid(log: Path) -> int:
    """The number that a program has printed on its last line, 0 while it has not."""
    lines = log.read_text().split() if log.exists() else []
    return int(lines[-1]) if lines else 0


def first_death(supervisor: Supervisor) -> Death:
    """The next death."""
    found: list[Death] = eventually(supervisor.deaths, "a death is told of")
    return found[0]


def test_programs_keep_their_bytecode_where_the_shell_forbids_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    code = "import sys, time; print('writes', not sys.dont_write_bytecode, flush=True); time.sleep(3600)"
    with supervised(tmp_path, python("one", code, tmp_path)) as running:
        log = running.log("one")
        eventually(lambda: log.exists() and "writes" in log.read_text(), "it has spoken")
        assert log.read_text().split() == ["writes", "True"]


def test_a_program_that_dies_is_named_with_the_end_of_its_log_and_restarted(tmp_path: Path) -> None:
    code = "import sys; print('\\n'.join(f'line {n}' for n in range(99))); sys.exit('the port is wrong')"
    with supervised(
        tmp_path, python("fragile", code, tmp_path), python("sound", FOREVER, tmp_path)
    ) as running:
        death = first_death(running)
        assert (death.name, death.how, death.count) == ("fragile", "exit status 1", 1)
        assert "the port is wrong" in death.tail
        assert "line 98" in death.tail
        assert "line 1\n" not in death.tail
        assert str(death.log) in str(death)
        again = first_death(running)
        assert (again.name, again.count) == ("fragile", 2)
        assert "sound" in running.pids()


def test_a_killed_program_comes_back_and_its_children_do_not_outlive_it(tmp_path: Path) -> None:
    with supervised(tmp_path, python("family", FAMILY, tmp_path)) as running:
        child = eventually(lambda: logged_pid(running.log("family")), "the child runs")
        parent = running.pids()["family"]
        os.kill(parent, signal.SIGKILL)
        assert first_death(running).how == "terminated by SIGKILL"
        eventually(lambda: gone([child]), "its child is gone")
        eventually(lambda: running.pids().get("family", parent) != parent, "the program runs again")


def test_leaving_stops_every_program_and_what_it_started(tmp_path: Path) -> None:
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + FAMILY
    program = Program("deaf", [sys.executable, "-c", deaf], tmp_path, stop_after=1)
    with supervised(tmp_path, program, python("family", FAMILY, tmp_path)) as running:
        children = [
            eventually(lambda name=name: logged_pid(running.log(name)), "the child runs")  # type: ignore[misc]
            for name in ("deaf", "family")
        ]
        pids = [*running.pids().values(), running.pid, *children]
        assert len(pids) == 5
    eventually(lambda: gone(pids), "nothing is left")


def test_killing_whoever_supervises_stops_everything(tmp_path: Path) -> None:
    script = f"""
import json, sys, time
from pathlib import Path
from praxis.up.supervisor import Program, Supervisor
folder = Path({str(tmp_path)!r})
program = Program("family", [sys.executable, "-c", {FAMILY!r}], folder, stop_after=5)
with Supervisor([program], folder / "run", folder / "logs") as running:
    while not running.log("family").exists() or not running.log("family").read_text().strip():
        time.sleep(0.05)
    print(json.dumps([*running.pids().values(), running.pid]), flush=True)
    time.sleep(3600)
"""
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE) as up:
        assert up.stdout is not None
        pids = [*json.loads(up.stdout.readline()), logged_pid(tmp_path / "logs" / "family.log")]
        up.kill()
    eventually(lambda: gone(pids), "nothing is left")


def test_killing_supervisord_is_told_and_leaves_no_program(tmp_path: Path) -> None:
    with supervised(tmp_path, python("sound", FOREVER, tmp_path)) as running:
        pid = eventually(lambda: running.pids().get("sound"), "it runs")
        eventually(lambda: running.log("sound").exists() and running.log("sound").read_text(), "it has begun")
        os.kill(running.pid, signal.SIGKILL)

        def told() -> bool:
            try:
                running.deaths()
            except PraxisError as error:
                return "supervisord is gone" in error.message
            return False

        eventually(told, "the loss of supervisord is told")
        eventually(lambda: gone([pid]), "the program is told to stop")


def test_a_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    with supervised(tmp_path, Program("absent", ["/nonexistent/engine", "--port", "1"], tmp_path)) as running:
        assert "`/nonexistent/engine` cannot be run: No such file" in first_death(running).tail


def test_environment_and_arguments_arrive_as_they_are_and_stay_private(tmp_path: Path) -> None:
    awkward = '{"a": "100 % ; # \\" \' $HOME"}'
    code = "import os, sys, time; print(sys.argv[1], os.environ['SECRET'], os.getcwd(), flush=True); time.sleep(3600)"
    program = Program("exact", [sys.executable, "-c", code, awkward], tmp_path, {"SECRET": "s 100% ;x"})
    with supervised(tmp_path, program) as running:
        eventually(
            lambda: running.log("exact").exists() and running.log("exact").read_text(), "it has printed"
        )
        assert running.log("exact").read_text().strip() == f"{awkward} s 100% ;x {tmp_path}"
    mode = (tmp_path / "run" / "programs.json").stat().st_mode
    assert mode & 0o077 == 0
    assert "s 100" not in (tmp_path / "run" / "supervisord.conf").read_text()


def test_a_program_can_wait_to_be_started(tmp_path: Path) -> None:
    later = Program("later", [sys.executable, "-c", FOREVER], tmp_path, start=False)
    with supervised(tmp_path, later, python("now", FOREVER, tmp_path)) as running:
        eventually(lambda: "now" in running.pids(), "the other runs")
        assert "later" not in running.pids()
        running.start("later")
        eventually(lambda: "later" in running.pids(), "it runs")


@pytest.mark.parametrize("depth", [1, 12])
def test_a_deep_folder_is_no_obstacle(tmp_path: Path, depth: int) -> None:
    folder = tmp_path.joinpath(*["a-long-folder-name"] * depth)
    folder.mkdir(parents=True)
    with supervised(folder, python("sound", FOREVER, folder)) as running:
        eventually(lambda: "sound" in running.pids(), "it runs")
