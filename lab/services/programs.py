"""Programs that the lab starts beside itself, and that end with it, even when it is killed."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def _ending_with_parent() -> Callable[[], None] | None:
    """What a child does before it becomes its program: ask the kernel to end it with the lab. None but on Linux."""
    if sys.platform != "linux":
        return None
    libc, parent = ctypes.CDLL(None), os.getpid()  # loaded here: after a fork little is safe

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)  # it died before the kernel was asked

    return ask


class Programs:
    """Children whose output goes into log files of `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lasting: list[asyncio.subprocess.Process] = []
        self._passing: set[asyncio.subprocess.Process] = set()

    async def start(self, *command: str) -> None:
        """Start a program that is to run on. Raises OSError."""
        self._lasting.append(await self._spawn(f"{command[0]}.log", command))

    async def run(self, log: str, *command: str) -> None:
        """Run a program to its end, whatever that is. Raises OSError."""
        process = await self._spawn(log, command)
        self._passing.add(process)
        try:
            await process.wait()
        finally:
            if process.returncode is not None:
                self._passing.discard(process)

    async def _spawn(self, log: str, command: tuple[str, ...]) -> asyncio.subprocess.Process:
        with (self._folder / log).open("ab") as output:
            return await asyncio.create_subprocess_exec(
                *command, stdout=output, stderr=output, preexec_fn=_ending_with_parent()
            )

    def check(self) -> None:
        """Raises OSError with the last words when a program that should run has ended."""
        if any(process.returncode is not None for process in self._lasting):
            logs = sorted(self._folder.glob("*.log"))
            words = [line for path in logs for line in path.read_text(errors="replace").splitlines()[-1:]]
            raise OSError(f"a program ended: {' | '.join(words)[:500]}")

    async def kill(self) -> None:
        """End all that still run."""
        for process in [*self._lasting, *self._passing]:
            if process.returncode is None:
                process.kill()
                await process.wait()
        self._lasting.clear()
        self._passing.clear()
