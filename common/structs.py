"""What msgspec knows about a struct, found out by one thread at a time.

msgspec describes a struct when it first meets it, and other threads see that description before it is complete; one
that decodes with it then takes the whole process down (SIGSEGV). Every struct that several threads may meet first is
therefore built here, under one lock. Knows no struct itself; fails like msgspec does, with TypeError, on what is none.
"""

from __future__ import annotations

import functools
import threading
from typing import Any

import msgspec

_building = threading.Lock()


@functools.cache
def decoder(kind: Any, *, strict: bool = True) -> msgspec.json.Decoder[Any]:
    """The decoder of a type; decoding with it needs no lock."""
    with _building:
        return msgspec.json.Decoder(kind, strict=strict)


def prepare(*kinds: Any) -> None:
    """After this the types may be converted to in any thread. Call it where they are defined or listed."""
    for kind in kinds:
        decoder(kind)
