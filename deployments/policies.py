"""Keeps the policies of a cluster and reads them. Whoever is above brings them, under a name of theirs (``source``).

A stored policy that this version cannot read stops everything it is about: :class:`deployments.errors.Unfit`.
"""

from __future__ import annotations

import functools
import json
from typing import Any

import msgspec
from django.conf import settings

from common.canonical import digest
from common.clock import now
from common.models import audit
from common.publish import publish
from deployments.errors import Unfit
from deployments.freezes import Freeze
from deployments.models import ClusterPolicy
from deployments.policy import Policy, Seats, seats


def keep(cluster: str, source: str, policy: Policy | None, actor: str) -> bool:
    """Store a policy, or take it away (None), in the caller's transaction. Returns whether that changed anything."""
    stored = ClusterPolicy.objects.filter(cluster=cluster, source=source)
    if policy is None:
        changed = bool(stored.delete()[0])
        detail: dict[str, Any] = {"policy": None}
    else:
        document = json.loads(msgspec.json.encode(policy))
        hashed = digest(document)
        changed = not stored.filter(hash=hashed).exists()
        detail = {"policy": hashed}
        if changed:
            values = {"document": document, "hash": hashed, "loaded_at": now(), "loaded_by": actor}
            ClusterPolicy.objects.update_or_create(cluster=cluster, source=source, defaults=values)
    if changed:
        audit(actor=actor, verb="policy.load", object=f"cluster:{cluster}", source=source, **detail)
        publish("holds", "approvals")
    return changed


def of(cluster: str) -> tuple[Policy, ...]:
    """The policies of a cluster, each to be kept by itself; one empty policy (the floor) when nobody brought any.

    :raises Unfit: one of them cannot be read.
    """
    rows = ClusterPolicy.objects.filter(cluster=cluster).order_by("source").values_list("source", "hash", "document")
    return tuple(parsed(source, hashed, json.dumps(document)) for source, hashed, document in rows) or (Policy(),)


@functools.lru_cache(maxsize=32)
def parsed(source: str, _hash: str, document: str) -> Policy:
    """A stored document as a policy. :raises Unfit: this version cannot read it."""
    try:
        return msgspec.json.decode(document, type=Policy)
    except msgspec.ValidationError as error:
        raise Unfit(f"The policy of {source} cannot be read by this version ({error}); load it again.") from None


def wanted(cluster: str, tier: int) -> tuple[tuple[Seats, ...], ...]:
    """Per policy the approvals that a plan of this tier needs. Policies that ask for none are left out."""
    asked = (seats(policy, tier, production=bool(settings.PORTAL_PRODUCTION)) for policy in of(cluster))
    return tuple(each for each in asked if each)


def frozen_windows(cluster: str) -> tuple[Freeze, ...]:
    """Every freeze window of a cluster."""
    return tuple(freeze for policy in of(cluster) for freeze in policy.freezes)
