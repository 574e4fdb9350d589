"""A small process beside the first of several that train together: it says so when one of them is lost.

mpiexec ends them all when one dies, at once, so none of them could say it. What `start` starts is this file
as a script, without the rest of tinynet. It looks on until it is dismissed, or until one of them has ended.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

DISMISSED = b"."
LOST = 3
"""The exit code once a process is lost."""
EXITING = 4
"""The flag of a process on its way out: PF_EXITING in Linux's include/linux/sched.h."""


def start(processes: Mapping[int, int], advice: str) -> subprocess.Popen[bytes] | None:
    """A witness of `processes` on this machine, ids by rank; None where it could not see them end.

    A session of its own keeps it from being ended with them.
    """
    try:
        os.close(os.pidfd_open(os.getpid()))  # Linux has it
    except (AttributeError, OSError):
        return None
    command = [sys.executable, "-I", "-S", __file__, json.dumps([list(processes.items()), advice])]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True)


def dismiss(witness: subprocess.Popen[bytes]) -> None:
    """Have it end without a word."""
    with suppress(BrokenPipeError):  # it may have ended already
        witness.communicate(DISMISSED)


def look_on(processes: Mapping[int, int]) -> list[int]:
    """Wait for a process to end; return its rank, or those of several. None have after a dismissal."""
    with suppress(ProcessLookupError):  # mpiexec may have ended them before this process has started
        ends = [os.pidfd_open(number) for number in processes.values()]  # readable when it has ended
        order = sys.stdin.fileno()
        ready, _, _ = select.select([order, *ends], [], [])
        if ready == [order]:
            if os.read(order, 1) == DISMISSED:
                return []
            select.select(ends, [], [])  # closed, as the first process is ending: perhaps not alone
    return sorted(rank for rank, number in processes.items() if is_ending(number))


def is_ending(number: int) -> bool:
    """Whether a process has ended or is on its way out.

    mpiexec may see a process's pipes close, and end the others, before the kernel has quite ended the first.
    """
    try:
        after_name = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return bool(int(after_name.split()[6]) & EXITING)


def main() -> int:
    """Look on; the exit code."""
    pairs, advice = json.loads(sys.argv[1])
    processes = dict(pairs)
    lost = look_on(processes)
    if not lost:
        return 0
    names = ", ".join(f"process {rank} (id {processes[rank]})" for rank in lost)
    print(f"Lost: {names}. That ends the run; {advice}", file=sys.stderr, flush=True)
    return LOST


if __name__ == "__main__":
    sys.exit(main())
