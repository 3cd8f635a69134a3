"""The Alertmanager object that is meant: found in the cluster, read whole, and what runs it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from deployments.catalogue.action import CannotPlan, Precondition
from deployments.catalogue.nodes import fields
from integrations.kubernetes.kinds import RESOURCES
from integrations.kubernetes.objects import Workload
from integrations.kubernetes.parts import KubeObject, Meta
from monitoring.checks.text import clean, listing
from monitoring.snapshot import Missing, Need, Objects, Raw, Snapshot

ALERTMANAGERS = "alertmanagers.monitoring.coreos.com"
PROMETHEUSES = "prometheuses.monitoring.coreos.com"
_OPERATOR = re.compile(r"(?:^|/)prometheus-operator(?::v?(\d+)\.(\d+)\.\d+[^@]*)?(?:@.*)?$")


@dataclass(frozen=True, slots=True)
class Owner:
    """A Prometheus or Alertmanager object, whole."""

    raw: Mapping[str, Any]
    meta: Meta

    @property
    def spec(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.raw.get("spec") or {}
        return found


def needs(snapshot: Snapshot, resource: str, namespace: str, name: str) -> Iterable[Need]:
    """The objects of this kind, and then the one that is meant, whole."""
    yield Objects(resource, namespace)
    with suppress(Missing, CannotPlan):
        found = choose(snapshot, resource, namespace, name)
        yield Raw(resource, found.namespace, found.name)


def choose(snapshot: Snapshot, resource: str, namespace: str, name: str) -> Meta:
    """The one that is named, or the only one. :raises CannotPlan: there is none, or several. :raises Missing:"""
    kind = RESOURCES[resource].kind
    items: list[KubeObject] = snapshot.objects(resource, namespace)
    found = [item.metadata for item in items if not name or item.metadata.name == name]
    where = f" in namespace {namespace}" if namespace else ""
    if not found:
        raise CannotPlan(f"There is no {kind} object{f' {name}' if name else ''}{where}.")
    if len(found) > 1:
        names = listing(sorted(f"{meta.namespace}/{meta.name}" for meta in found))
        raise CannotPlan(f"There are several {kind} objects ({names}): say which one is meant.")
    return found[0]


def find(snapshot: Snapshot, resource: str, namespace: str, name: str) -> Owner:
    """The same, whole. :raises CannotPlan, Missing:"""
    meta = choose(snapshot, resource, namespace, name)
    raw = snapshot.raw(resource, meta.namespace, meta.name)
    if raw is None:
        raise CannotPlan(f"{RESOURCES[resource].kind} {meta.name} went away while it was read.")
    return Owner(raw, fields.meta_of(raw))


def acted_on(owner: Owner, operator: Operator | None) -> Iterable[Precondition]:
    """What must hold so that the operator turns objects into configuration."""
    paused = bool(owner.spec.get("paused"))
    yield Precondition(
        f"The operator may change what {owner.meta.name} runs", not paused, f"spec.paused: {str(paused).lower()}"
    )
    sentence = "The Prometheus operator is running"
    if operator is None:
        yield Precondition(sentence, False, "no Deployment of this cluster runs its image")
    else:
        evidence = f"{operator.name} {operator.shown}, {operator.ready} pods ready"
        yield Precondition(sentence, operator.ready > 0, evidence)


@dataclass(frozen=True, slots=True)
class Operator:
    """The operator's Deployment. ``version`` is (major, minor); (0, 0) when its image does not tell."""

    name: str
    version: tuple[int, int]
    ready: int

    @property
    def shown(self) -> str:
        return f"v{self.version[0]}.{self.version[1]}" if any(self.version) else "of an unknown version"


def operator_needs() -> Iterable[Need]:
    """What :func:`operator` reads."""
    yield Objects("deployments.apps")


def operator(snapshot: Snapshot) -> Operator | None:
    """The Deployment that runs the operator, by its image; None when there is none. :raises Missing:"""
    items: list[Workload] = sorted(
        snapshot.objects("deployments.apps"), key=lambda item: (item.metadata.namespace, item.metadata.name)
    )
    for item in items:
        for container in item.spec.template.spec.containers:
            match = _OPERATOR.search(container.image)
            if match:
                version = (int(match.group(1) or 0), int(match.group(2) or 0))
                return Operator(clean(item.metadata.name, 120), version, item.status.ready_replicas)
    return None
