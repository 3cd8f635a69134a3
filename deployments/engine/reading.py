"""The reading of one object just before its write, as a Snapshot: all that a step's guards and ``unless`` can see.

They may need ``Objects`` of the step's own resource in its own namespace (the object alone is in the list) and ``Raw``
of the object itself. Everything else would be older than the write it guards, so it is no guard: what else must hold is
a precondition of the plan, or a step of its own that waits for it. A plan with such a guard is never stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from common.clock import now
from deployments.catalogue import conditions
from deployments.catalogue.action import StepSpec
from integrations.kubernetes.decode import without_nulls
from integrations.kubernetes.objects import type_of
from monitoring.snapshot import Listing, Objects, Raw, Reply, Snapshot


def snapshot_of(cluster: str, spec: StepSpec, raw: dict[str, Any] | None) -> Snapshot:
    """One object, or its absence, of the cluster of this name: decoded, and whole with all its fields."""
    found = (msgspec.convert(without_nulls(raw), type_of(spec.resource), strict=False),) if raw is not None else ()
    moment = now()
    return Snapshot(
        cluster,
        moment,
        {Objects(spec.resource, spec.namespace): Listing(found, "", moment)},
        {Raw(spec.resource, spec.namespace, spec.name): Reply(raw, 200 if raw is not None else 404, moment)},
    )


def unreadable(cluster: str, spec: StepSpec, raw: dict[str, Any] | None) -> Iterator[str]:
    """What this step's guards and ``unless`` need and the reading before its write will not hold, a sentence each."""
    judged = (*spec.guards, *((spec.unless,) if spec.unless is not None else ()))
    if not judged:
        return
    snapshot = snapshot_of(cluster, spec, raw)
    for condition in judged:
        for need in conditions.needs(condition, snapshot):
            if not snapshot.has(need):
                said = f"“{spec.title}” is guarded by {condition.name}"
                yield f"{said}, which needs more than the object it writes: {need}."
