"""Becomes the program it is asked to be, tied to its parent: when that dies, the program is told to stop.

`python program.py PROGRAMS.json NAME` reads the program's command, folder and environment, so that neither quoting
nor secrets pass through a command line, and replaces itself by it. Standard library alone, to start at once.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int, number: int = signal.SIGTERM) -> None:
    """Ask Linux for signal `number` when process `parent`, the caller's parent, dies (prctl(2)).

    The request outlives `exec`. Elsewhere than on Linux this does nothing.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:  # it died before it could be asked for
        raise SystemExit(1)


def main() -> None:
    """Read the description and become the program."""
    die_with_parent(os.getppid())
    with open(sys.argv[1], encoding="utf-8") as file:
        program = json.load(file)[sys.argv[2]]
    os.chdir(program["folder"])
    command = program["command"]
    try:
        os.execvpe(command[0], command, os.environ | program["environment"])
    except OSError as error:
        raise SystemExit(f"`{command[0]}` cannot be run: {error.strerror}") from None


if __name__ == "__main__":
    main()
