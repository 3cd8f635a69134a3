"""The supervisor with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portal.serving.supervisor import Child, Supervisor

SLEEPER = [sys.executable, "-c", "import time; time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]


def wait_until(condition: Callable[[], object], seconds: float = 10) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not become true in time"
        time.sleep(0.02)


def ticked(supervisor: Supervisor) -> bool:
    supervisor.tick()
    return True


def another(child: Child, before: int) -> bool:
    """Whether the child runs again, as a new process."""
    return child.process is not None and child.process.poll() is None and child.process.pid != before


def runs(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path, said.append)
    yield made
    made.stop()


def test_a_child_that_dies_is_started_again(supervisor: Supervisor, said: list[str]) -> None:
    child = Child("sleeper", SLEEPER)
    supervisor.start(child)
    assert child.process is not None
    first = child.process.pid

    os.kill(first, signal.SIGKILL)
    wait_until(lambda: ticked(supervisor) and another(child, first))

    assert any("killed by signal 9" in line for line in said)
    assert any("runs again" in line for line in said)


def test_what_a_killed_child_had_started_itself_ends_with_it(supervisor: Supervisor, tmp_path: Path) -> None:
    parent = f"import subprocess, time; print(subprocess.Popen({SLEEPER!r}).pid, flush=True); time.sleep(60)"
    child = Child("parent", [sys.executable, "-c", parent])
    supervisor.start(child)
    assert child.process is not None
    first, log = child.process.pid, tmp_path / "parent.log"
    wait_until(lambda: log.read_text().strip())
    grandchild = int(log.read_text().split()[0])

    os.kill(first, signal.SIGKILL)
    wait_until(lambda: ticked(supervisor) and another(child, first))

    wait_until(lambda: not runs(grandchild))


def test_a_child_that_dies_at_once_waits_longer_each_time(supervisor: Supervisor) -> None:
    child = Child("broken", [sys.executable, "-c", "raise SystemExit(3)"])
    supervisor.start(child)

    wait_until(lambda: ticked(supervisor) and child.failures >= 2)

    assert child.start_again_at - time.monotonic() > 0.3


def test_a_dependent_is_restarted_with_what_it_leans_on(supervisor: Supervisor) -> None:
    base, dependent = Child("base", SLEEPER), Child("dependent", SLEEPER, restarts_with=("base",))
    supervisor.start(base)
    supervisor.start(dependent)
    assert base.process is not None and dependent.process is not None
    before = dependent.process.pid

    os.kill(base.process.pid, signal.SIGKILL)
    wait_until(lambda: ticked(supervisor) and another(dependent, before))

    assert supervisor.alive("base")


def test_stopping_ends_every_child_even_a_stubborn_one(supervisor: Supervisor, said: list[str], tmp_path: Path) -> None:
    supervisor.start(Child("sleeper", SLEEPER))
    stubborn = Child("stubborn", STUBBORN, stop_seconds=0.5)
    supervisor.start(stubborn)
    wait_until(lambda: b"up" in supervisor.log_path("stubborn").read_bytes())

    supervisor.stop()

    assert not supervisor.alive("sleeper")
    assert not supervisor.alive("stubborn")
    assert any("did not stop" in line for line in said)


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux's")
def test_killing_the_supervisor_leaves_no_child(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from portal.serving.supervisor import Child, Supervisor;"
        f"s = Supervisor(Path({str(tmp_path)!r}), print); c = Child('sleeper', {SLEEPER!r}); s.start(c);"
        "print(c.process.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()

    wait_until(lambda: not _running(pid))


def _running(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
