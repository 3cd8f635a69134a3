"""Private temporary folders that do not outlive their owner for long.

A folder is locked while its process lives; the kernel drops the lock even of a killed one. So whoever comes next can
tell the abandoned from the used, across containers too, and clears them away.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

_LOCK = ".owner"


class Scratch:
    """A folder in the system's place for temporary files; `prefix` says whose."""

    def __init__(self, prefix: str) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=prefix))
        # Named only once it is locked: a folder without the name is not looked at.
        fresh = self.path / f"{_LOCK}.new"
        self._lock = os.open(fresh, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        fresh.rename(self.path / _LOCK)
        self._removed = False

    def remove(self) -> None:
        """Delete the folder with all it holds; a second time does nothing."""
        if self._removed:
            return
        self._removed = True
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


def clear_abandoned(prefix: str) -> list[Path]:
    """Delete the folders of processes that are gone; returns them. What belongs to others stays."""
    gone = [lock.parent for lock in Path(tempfile.gettempdir()).glob(f"{prefix}*/{_LOCK}") if _abandoned(lock)]
    for folder in gone:
        shutil.rmtree(folder, ignore_errors=True)
    return gone


def _abandoned(lock: Path) -> bool:
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False  # another user's, or cleared away by somebody else just now
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)
