"""What a check type is. Pure: no I/O, no clock, no Django; time and the Snapshot are arguments.

A check type is a slug, a parameter struct and four functions of it. It must not know items, phases or who asks. It
fails by raising :class:`monitoring.snapshot.Missing` for what was not read; the registry turns that into *unknown*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from integrations.kubernetes.kinds import RESOURCES
from integrations.kubernetes.parts import KubeObject
from monitoring.snapshot import Need, Snapshot
from monitoring.verdict import Ref, Verdict, Word

if TYPE_CHECKING:
    from monitoring.checks.claims import ClaimPattern


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Parameters of a check. Defaults are left out of the canonical form, so a new parameter with a default does not
    make a new check out of an old one. A subclass may raise ValueError in ``__post_init__``: one sentence."""


@dataclass(frozen=True, slots=True)
class CheckType:
    """One kind of check.

    ``limit_seconds``: evidence older than this reads stale. ``poll_seconds``: how often to evaluate again even when
    nothing watched changed (0 = never needed); polled sources are read that often. ``watched``: everything it needs has
    a watch, so that its age is the watch's. ``source``: whose age and outage it shares.
    """

    slug: str
    title: str
    summary: str
    params: type[Params]
    needs: Callable[[Snapshot, Any], Iterable[Need]]
    evaluate: Callable[[Snapshot, Any, datetime], Verdict]
    command: Callable[[Any], str]
    expected: Callable[[Any], str]
    source: str = "kubernetes"
    watched: bool = True
    limit_seconds: int = 60
    poll_seconds: int = 0
    claims: tuple[ClaimPattern, ...] = ()


def ref(item: KubeObject, resource: str) -> Ref:
    """The reference to an object for the receipt."""
    known = RESOURCES[resource]
    meta = item.metadata
    return Ref(known.kind, meta.name, meta.namespace, meta.uid, meta.resource_version, known.group)


def verified(sentence: str, observed: str, **more: Any) -> Verdict:
    return Verdict(Word.VERIFIED, sentence, observed=observed, **more)


def failing(cause: str, sentence: str, observed: str, **more: Any) -> Verdict:
    return Verdict(Word.FAILING, sentence, observed=observed, cause=cause, **more)


def degraded(cause: str, sentence: str, observed: str, **more: Any) -> Verdict:
    return Verdict(Word.DEGRADED, sentence, observed=observed, cause=cause, **more)


def unknown(cause: str, sentence: str, observed: str, **more: Any) -> Verdict:
    return Verdict(Word.UNKNOWN, sentence, observed=observed, cause=cause, **more)


_RANK = {Word.FAILING: 0, Word.UNKNOWN: 1, Word.DEGRADED: 2, Word.VERIFIED: 3}


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of several verdicts, the first among equals. :raises ValueError: there is none."""
    return min(verdicts, key=lambda verdict: _RANK[verdict.word])
