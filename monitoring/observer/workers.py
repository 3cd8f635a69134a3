"""A few daemon threads for calls that may hang until their timeout: they never keep the process from stopping.

(``ThreadPoolExecutor`` joins its threads at exit, so one silent server would delay a stop by seconds.)
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

_log = logging.getLogger(__name__)


class Workers:
    """Runs calls in ``count`` threads, first come first served."""

    def __init__(self, name: str, count: int) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._count = count
        for number in range(count):
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True).start()

    def submit(self, call: Callable[[], None]) -> None:
        self._calls.put(call)

    def close(self) -> None:
        """End the threads after what they are doing; waits for nothing."""
        for _ in range(self._count):
            self._calls.put(None)

    def _run(self) -> None:
        while (call := self._calls.get()) is not None:
            try:
                call()
            except Exception:  # noqa: BLE001 - a crash in one call must not take the thread from all later ones
                _log.exception("a background call crashed")
