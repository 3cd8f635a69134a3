"""What a set of objects is: what belongs to it, which namespaces it may live in, how it is found again.

A set is the objects that carry its label and were applied under its own field manager
``portal-remediation/<set>``. The label alone is not enough: only what also carries the mark of a run was made here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, NamedTuple

import msgspec

from deployments.catalogue.action import MARK
from deployments.catalogue.argo import calls
from deployments.catalogue.nodes.manifest_kinds import LISTED, ORDER
from deployments.catalogue.nodes.manifests import MANAGED_BY, PORTAL, SET_LABEL
from integrations.kubernetes.kinds import RESOURCES
from integrations.kubernetes.parts import KubeObject, Meta
from monitoring.snapshot import Missing, Need, Objects, Snapshot

SetName = Annotated[
    str,
    msgspec.Meta(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", description="Name of the set, like grafana-minimal"),
]
_SYSTEM = "kube-"
_ARGO = "argocd"


class Member(NamedTuple):
    """One object of a set, as it is in the cluster."""

    resource: str
    meta: Meta

    @property
    def title(self) -> str:
        return f"{RESOURCES[self.resource].kind} {self.meta.namespace}/{self.meta.name}"


def needs(name: str) -> Iterable[Need]:
    """All objects with the set's label, of every kind a set may hold, Secrets left out."""
    return (Objects(resource, "", f"{SET_LABEL}={name}") for resource in LISTED)


def members(snapshot: Snapshot, name: str) -> list[Member]:
    """The objects with the set's label, in the order in which they are applied; what a controller made is left out.

    :raises Missing: a kind could not be listed; one that the cluster does not serve has no objects.
    """
    found: list[Member] = []
    for resource in LISTED:
        try:
            items: list[KubeObject] = snapshot.objects(resource, "", f"{SET_LABEL}={name}")
        except Missing:
            if snapshot.serves(resource):
                raise
            continue
        found += [Member(resource, item.metadata) for item in items if not _controlled(item.metadata)]
    return sorted(found, key=lambda m: (ORDER.index(m.resource), m.meta.namespace, m.meta.name))


def belongs(meta: Meta, name: str) -> bool:
    """Whether an object is the set's: its labels, and the mark of a run of this portal."""
    labels = meta.labels
    return labels.get(SET_LABEL) == name and labels.get(MANAGED_BY) == PORTAL and bool(meta.annotations.get(MARK))


def system_namespaces(snapshot: Snapshot, namespaces: Iterable[str]) -> list[str]:
    """Those of these namespaces where no set may live: Kubernetes' own, and where Argo CD reads its configuration.

    (Who writes a ConfigMap beside Argo CD is its admin.) :raises Missing: Applications were not read.
    """
    argo = {_ARGO}
    if snapshot.serves(calls.APPLICATIONS):
        argo |= {app.metadata.namespace for app in snapshot.objects(calls.APPLICATIONS)}
    return sorted({one for one in namespaces if one.startswith(_SYSTEM) or one in argo})


def _controlled(meta: Meta) -> bool:
    return any(owner.controller for owner in meta.owner_references)
