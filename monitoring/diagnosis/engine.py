"""Runs the signatures and puts them in order: the first layer that fails is the cause, the rest is what followed.

Layers go from the machine to Git (:class:`monitoring.diagnosis.base.Layer`). What a later layer shows is a consequence
when its signature says that it may be one, else a finding of its own, after the cause. A stack that is well gives
nothing: every signature needs something that is not.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec

from monitoring.diagnosis import outcome, registry, wanting
from monitoring.diagnosis.base import Layer, Signature
from monitoring.diagnosis.gathering import scenes_of
from monitoring.diagnosis.scene import Scene
from monitoring.snapshot import Need, Snapshot
from monitoring.verdict import Finding

__all__ = ["diagnose", "needs"]

#: more findings at once help nobody
_MOST = 6
_log = logging.getLogger(__name__)

Found = tuple[Signature, Finding]


def needs(snapshot: Snapshot, subject: Mapping[str, Any]) -> Iterable[Need]:
    """What to read for this subject; ask again until it adds nothing (logs follow the pods)."""
    return tuple(dict.fromkeys(wanting.needs_of(snapshot, subject)))


def diagnose(snapshot: Snapshot, subject: Mapping[str, Any], now: datetime) -> list[Finding]:
    """Causes, most likely first; nothing when nothing is wrong or nothing was read.

    ``subject``: ``{"kind": "grafana" | "application" | "workload" | …, "namespace", "name", "selector",
    "application": {"namespace", "name"}, "parts": [further subjects], "asks": [check types]}``; what is not known is
    left out or empty. Confidence never rises down the list.
    """
    scenes = scenes_of(snapshot, subject, now)
    found = [one for scene in scenes for one in _of_scene(scene)]
    causes, consequences = _folded(found)
    if not causes:
        return []
    ordered = sorted(causes, key=lambda one: (one[0].layer, -one[1].confidence))
    top = outcome.completed(scenes, ordered[0][1], [finding for _, finding in consequences], [f for _, f in found])
    told = [top, *(finding for _, finding in ordered[1:_MOST])]
    return _descending([outcome.possible(scenes, finding) for finding in told])


def _of_scene(scene: Scene) -> list[Found]:
    found: list[Found] = []
    for signature in registry.all_signatures():
        if signature.layer == Layer.UNKNOWN and any(one.layer < Layer.UNKNOWN for one, _ in found):
            continue
        finding = _found(signature, scene)
        if finding is None or (signature.general and _told_already(finding, found)):
            continue
        finding = msgspec.structs.replace(finding, reference=finding.reference or signature.reference)
        found.append((signature, finding))
    return found


def _told_already(finding: Finding, found: list[Found]) -> bool:
    """Whether a special signature quoted the same: the same state of the same container."""
    return any(set(finding.evidence) & set(other.evidence) for _, other in found)


def _found(signature: Signature, scene: Scene) -> Finding | None:
    try:
        return signature.find(scene)
    except Exception:  # noqa: BLE001 - a signature meets whatever a cluster sends; a broken one must not hide the others
        _log.exception("signature %s broke", signature.id)
        return None


def _folded(found: list[Found]) -> tuple[list[Found], list[Found]]:
    """Causes, and what only followed from them: the same thing seen twice is one."""
    once: dict[tuple[str, str], Found] = {}
    for signature, finding in found:
        once.setdefault((finding.id, finding.sentence), (signature, finding))
    every = list(once.values())
    if any(signature.layer != Layer.LAST for signature, _ in every):
        every = [one for one in every if one[0].layer != Layer.LAST]
    own = [one for one in every if not one[0].follows]
    if own:
        first = min(signature.layer for signature, _ in own)
        following = [one for one in every if one[0].follows and one[0].layer >= first]
        return [one for one in every if one not in following], following
    if not every:
        return [], []
    # only things that follow: the first of them has to stand for the cause nobody sees. That others do not reach it is
    # the last thing to say of what is not there
    near = [one for one in every if one[0].layer != Layer.CONTENT] or every
    first = min(signature.layer for signature, _ in near)
    causes = [one for one in near if one[0].layer == first]
    return causes, [one for one in every if one not in causes]


def _descending(findings: list[Finding]) -> list[Finding]:
    """The first is the likeliest *cause*; what is true as well is not more likely to be it."""
    least = 1.0
    ordered: list[Finding] = []
    for finding in findings:
        least = min(least, finding.confidence)
        ordered.append(msgspec.structs.replace(finding, confidence=least))
    return ordered
