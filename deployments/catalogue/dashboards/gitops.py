"""Grafana's values through Git, which comes first: whose they are, the patch, who would revert a live change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deployments.catalogue.action import CannotPlan, Patch
from deployments.catalogue.argo import calls, git_patch, helm, ownership, reading, set_values
from deployments.catalogue.argo.git_patch import GitPatch
from deployments.catalogue.argo.values import Edit
from deployments.catalogue.dashboards import owning
from deployments.catalogue.dashboards.owning import Owner
from integrations.kubernetes.custom import Application
from monitoring.snapshot import Snapshot

#: what a change of values writes in an Application
VALUES = ("/spec/source/helm",)


def owner(snapshot: Snapshot, namespace: str) -> Owner | None:
    """The Application that renders Grafana into this namespace; None when none does, or several. :raises Missing:"""
    try:
        found = owning.find(snapshot, "", "")
    except CannotPlan:
        return None
    return found if found.namespace == namespace else None


def patch(snapshot: Snapshot, found: Owner, edits: Sequence[Edit]) -> GitPatch | None:
    """The change of the values as a patch of their file; None when there is none to make. :raises Missing:"""
    return git_patch.for_values(snapshot, found.app, edits) if edits else None


def reverted_by(snapshot: Snapshot, found: Owner) -> str:
    """Who sets a live change of the values back at once; empty when nobody does. :raises Missing:"""
    apps: list[Application] = snapshot.objects(calls.APPLICATIONS)
    return ownership.reverted_by(found.app, apps, *VALUES)


def managed_by(_snapshot: Snapshot, found: Owner) -> str:
    """Who renders Grafana, for a plan that changes nothing that is rendered."""
    healing = "on" if reading.heals(found.app) else "off"
    return (
        f"Argo CD app {found.app.metadata.name} renders Grafana, selfHeal {healing}. It does not name what this plan "
        "writes, so nothing of it is reverted."
    )


def live_patch(found: Owner, edits: Sequence[Edit]) -> Patch:
    """The change of the values in the Application itself, credentials of the text as placeholders.

    ``valuesObject`` is merged, a ``values`` text is edited as text: setting ``valuesObject`` beside it would make it
    ignored entirely. :raises ValueError: why it can only be made in Git.
    """
    place = helm.located(found.app)
    if place is None or place.pointer != "/spec/source" or place.source.helm is None:
        raise ValueError("the Application has several sources, or sets no Helm values")
    source = place.source.helm
    winning = _parameters(source.parameters)
    beaten = next((e.name for e in edits if any(n == e.name or n.startswith(f"{e.name}.") for n in winning)), "")
    if beaten:
        raise ValueError(f"a Helm parameter sets {beaten}, and parameters win over values")
    return calls.spec_patch({"source": {"helm": set_values.helm_change(place, tuple(edits))}})


def _parameters(parameters: Any) -> list[str]:
    listed = parameters if isinstance(parameters, list) else []
    return [str(p.get("name")) for p in listed if isinstance(p, dict)]
