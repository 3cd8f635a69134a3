"""Kill points for the fault tests: the process kills itself where the test says. Does nothing anywhere else.

``PORTAL_FAULT_POINT`` names a point, ``point:step`` (steps count from 1), or ``@file``: then the file holds that text
and is removed by the kill, so that it happens once. Armed only with ``DEBUG`` or the embedded lab, so that no
environment variable can harm a real portal.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from django.conf import settings

#: the points of a process that takes clicks, in the order of a click
CLICK_POINTS = ("before_commit", "committed", "answering")
#: and of one that carries runs on, in the order a run meets them; a test walks both lists
POINTS = (
    "claimed",
    "started",
    "prepared",
    "before_intent",
    "after_intent",
    "after_effect",
    "after_outcome",
    "in_wait",
    "before_release",
    "step_done",
    "in_verify",
    "before_end",
    "ended",
)


def point(name: str, step: int | None = None) -> None:
    """Die here with SIGKILL if the environment says so. ``step`` counts from 0, as in the database."""
    armed = os.environ.get("PORTAL_FAULT_POINT")
    if not armed or not (settings.DEBUG or settings.PORTAL_LAB):
        return
    file = Path(armed[1:]) if armed.startswith("@") else None
    wanted, _, at = (_content(file) if file is not None else armed).partition(":")
    if wanted != name or (at and (step is None or int(at) != step + 1)):
        return
    if file is not None:
        file.unlink(missing_ok=True)
    die()


def die() -> None:
    """The end of this process, with no word to anybody. The experiments in memory put an exception here."""
    os.kill(os.getpid(), signal.SIGKILL)


def _content(file: Path) -> str:
    try:
        return file.read_text().strip()
    except FileNotFoundError:
        return ""
