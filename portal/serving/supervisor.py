"""A small process supervisor: start in order, start again what dies, stop everything cleanly.

It knows nothing of Django. Output and process id of each child go to files in the log directory; the terminal gets
one line for what a person needs to know. Children die with the supervisor (Linux): ``kill -9`` leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

_PR_SET_PDEATHSIG = 1
#: a child that lived this long starts again at once; shorter lives wait longer each time
_STEADY = 10.0
_LONGEST_PAUSE = 10.0


@dataclass(slots=True)
class Child:
    """One process to keep alive. ``restarts_with``: names of children whose new start makes this one start again."""

    name: str
    argv: list[str]
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: str = ""
    restarts_with: tuple[str, ...] = ()
    stop_seconds: float = 5.0
    #: how far it stands back from the others where processors are few (``nice``)
    nice: int = 0
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    failures: int = 0
    start_again_at: float = 0.0


class Supervisor:
    """Keeps children alive until :meth:`stop` is called or a signal arrives."""

    def __init__(self, logs: Path, say: Callable[[str], None]) -> None:
        self._logs = logs
        self._say = say
        self._children: list[Child] = []
        self._stopping = False
        logs.mkdir(parents=True, exist_ok=True, mode=0o700)

    def start(self, child: Child) -> None:
        """Start a child and keep it alive from now on."""
        self._children.append(child)
        self._spawn(child)

    def _spawn(self, child: Child) -> None:
        with self.log_path(child.name).open("ab") as output:
            child.process = subprocess.Popen(  # noqa: S603 - our own argument lists, no shell
                child.argv,
                env={**os.environ, **child.env},
                stdin=subprocess.PIPE if child.stdin else subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=partial(_prepare, child.nice),  # noqa: PLW1509 - no threads here
            )
        if child.stdin and child.process.stdin:
            child.process.stdin.write(child.stdin.encode())
            child.process.stdin.close()
        child.started_at = time.monotonic()
        child.start_again_at = 0.0
        (self._logs / f"{child.name}.pid").write_text(str(child.process.pid))

    def log_path(self, name: str) -> Path:
        """Where a child's output goes."""
        return self._logs / f"{name}.log"

    def alive(self, name: str) -> bool:
        """Whether this child runs now."""
        return any(c.name == name and c.process is not None and c.process.poll() is None for c in self._children)

    def tick(self) -> None:
        """Look at every child once: note the dead, start what is due."""
        moment = time.monotonic()
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                self._died(child, moment)
            elif child.process is None and moment >= child.start_again_at:
                self._spawn(child)
                self._say(f"{child.name} runs again")
                self._restart_dependents(child.name)

    def _died(self, child: Child, moment: float) -> None:
        assert child.process is not None
        code = child.process.returncode
        _end_family(child.process.pid)
        child.process = None
        child.failures = 0 if moment - child.started_at > _STEADY else child.failures + 1
        pause = min(_LONGEST_PAUSE, 0.2 * 2**child.failures) if child.failures else 0.0
        child.start_again_at = moment + pause
        ended = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        self._say(f"{child.name} {ended}; starting it again in {pause:.1f} s ({self.log_path(child.name)})")
        if child.failures >= 2:
            self._say("\n".join(f"    {line}" for line in self.tail(child.name)))

    def tail(self, name: str, lines: int = 4) -> list[str]:
        """The last lines a child wrote."""
        try:
            text = self.log_path(name).read_bytes()[-4000:].decode(errors="replace")
        except OSError:
            return []
        return [line for line in text.splitlines() if line.strip()][-lines:]

    def _restart_dependents(self, name: str) -> None:
        for child in self._children:
            if name in child.restarts_with and child.process is not None:
                child.process.terminate()

    def run(self) -> None:
        """Keep everything alive until SIGINT or SIGTERM, then stop it."""
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._asked_to_stop)
        while not self._stopping:
            self.tick()
            time.sleep(0.1)
        self.stop()

    def _asked_to_stop(self, *_: object) -> None:
        self._stopping = True

    def stop(self) -> None:
        """Ask the youngest first, so that nobody loses what it leans on; then insist."""
        self._stopping = True
        for child in reversed(self._children):
            if child.process is not None and child.process.poll() is None:
                child.process.terminate()
        for child in reversed(self._children):
            if child.process is not None:
                try:
                    child.process.wait(child.stop_seconds)
                except subprocess.TimeoutExpired:
                    self._say(f"{child.name} did not stop within {child.stop_seconds:.0f} s, killing it")
                    os.killpg(child.process.pid, signal.SIGKILL)
                    child.process.wait()
                _end_family(child.process.pid)


def _end_family(leader: int) -> None:
    """What a dead child had started itself: Celery's beat and pool outlive a worker that was killed."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _prepare(nice: int) -> None:
    """In the child: stand back, and ask Linux to end it when the supervisor ends, however it ends."""
    os.nice(nice)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
