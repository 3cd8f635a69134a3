"""What a check says about a Snapshot, and what a diagnosis finds in it. Pure data, no Django, no clock."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import msgspec


class Word(StrEnum):
    """Evidence verdicts (design §4). ``stale`` is not among them: it is derived from age at read time."""

    VERIFIED = "verified"
    FAILING = "failing"
    DEGRADED = "degraded"
    UNKNOWN = "unknown"


class Ref(msgspec.Struct, frozen=True):
    """The object a verdict was read from: part of the receipt."""

    kind: str
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    group: str = ""

    def key(self, cluster: str) -> str:
        """The target key ``cluster/group/Kind/namespace/name`` (design §3)."""
        return f"{cluster}/{self.group}/{self.kind}/{self.namespace}/{self.name}"


class Verdict(msgspec.Struct, frozen=True):
    """One reading of one check.

    ``sentence`` says what is wrong, since when, what to do. ``expected`` and ``observed`` are the two short texts shown
    side by side. ``cause`` is a stable slug of *why* (``no_deployment``, ``not_ready``): a new cause opens a new Span
    even when the word stays. ``facts`` are small JSON values a page may show (``ready``, ``desired``, ``node``, …).
    """

    word: Word
    sentence: str
    expected: str = ""
    observed: str = ""
    cause: str = ""
    facts: dict[str, Any] = {}
    refs: tuple[Ref, ...] = ()


class Finding(msgspec.Struct, frozen=True):
    """A failure signature that matched.

    ``id`` is the signature's (``G2``, ``A2``); ``cause`` a stable slug; ``evidence`` lines quote what was read;
    ``confidence`` is between 0 and 1: how sure it is that this is *why*, not that it is so. ``remedies`` are slugs of
    catalogue actions, best first; ``parameters`` holds what of their parameters the finding knows, by slug.
    ``consequences`` and ``ruled_out`` are sentences; ``reference`` is a public page or issue about it; ``at`` is when
    the cause happened (ISO 8601, UTC), empty if nobody knows.
    """

    id: str
    cause: str
    title: str
    sentence: str
    evidence: tuple[str, ...] = ()
    confidence: float = 1.0
    remedies: tuple[str, ...] = ()
    consequences: tuple[str, ...] = ()
    ruled_out: tuple[str, ...] = ()
    reference: str = ""
    at: str = ""
    parameters: dict[str, dict[str, str]] = {}
