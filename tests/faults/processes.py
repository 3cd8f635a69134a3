"""Processes of a stage as an operating system sees them."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path


def family(process: subprocess.Popen[bytes]) -> set[int]:
    """The process and what it started: everything in its group, by ``/proc``."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(ProcessLookupError):
                if os.getpgid(int(entry.name)) == process.pid:
                    found.add(int(entry.name))
    return found


def end(process: subprocess.Popen[bytes], seconds: float = 90) -> float:
    """Ask a process to end as a deployment does (SIGTERM). Returns the seconds it took."""
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return time.monotonic() - began
