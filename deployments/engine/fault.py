"""Kill points for the fault tests: the process kills itself where the test says. Does nothing anywhere else.

``PORTAL_FAULT_POINT`` names a point, or ``point:step`` (steps count from 1); ``PORTAL_FAULT_MARK`` is a file that makes
it happen once. Armed only with ``DEBUG`` or the embedded lab, so that no environment variable can harm a real portal.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from django.conf import settings

#: every point there is, in the order a run meets them; a test walks this list
POINTS = (
    "claimed",
    "prepared",
    "before_intent",
    "after_intent",
    "after_effect",
    "after_outcome",
    "in_wait",
    "step_done",
    "in_verify",
    "before_end",
)


def point(name: str, step: int | None = None) -> None:
    """Die here with SIGKILL if the environment says so. ``step`` counts from 0, as in the database."""
    armed = os.environ.get("PORTAL_FAULT_POINT")
    if not armed or not (settings.DEBUG or settings.PORTAL_LAB):
        return
    wanted, _, at = armed.partition(":")
    if wanted != name or (at and (step is None or int(at) != step + 1)):
        return
    if _first_time():
        os.kill(os.getpid(), signal.SIGKILL)


def _first_time() -> bool:
    mark = os.environ.get("PORTAL_FAULT_MARK")
    if not mark:
        return True
    try:
        Path(mark).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
