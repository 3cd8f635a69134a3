"""*Refresh an Application*: ask Argo CD to compare with Git now. Changes nothing but the time of the comparison."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from deployments.catalogue.action import (
    Action,
    Blast,
    CannotPlan,
    Condition,
    Params,
    PlanDraft,
    Precondition,
    Rule,
    StepSpec,
    Verification,
)
from deployments.catalogue.argo import calls
from monitoring.snapshot import Need, Objects, Snapshot

_UNDO = "Not needed: a refresh changes no desired state."


class RefreshParams(Params, frozen=True):
    """Which Application."""

    application: Annotated[str, msgspec.Meta(min_length=1, max_length=253, description="Application")]
    namespace: Annotated[str, msgspec.Meta(max_length=63, description="Its namespace")] = ""
    mode: Annotated[Literal["normal", "hard"], msgspec.Meta(description="hard also drops the manifest cache")] = (
        "normal"
    )


def needs(_snapshot: Snapshot, params: RefreshParams) -> Iterable[Need]:
    """Applications."""
    return (Objects(calls.APPLICATIONS, params.namespace),)


def draft(snapshot: Snapshot, params: RefreshParams) -> PlanDraft:
    """One patch and the wait for its effect. :raises CannotPlan: no such Application, or several."""
    apps = [
        app for app in snapshot.objects(calls.APPLICATIONS, params.namespace) if app.metadata.name == params.application
    ]
    if len(apps) != 1:
        raise CannotPlan(f"There {'are several Applications' if apps else 'is no Application'} {params.application}.")
    meta = apps[0].metadata
    where = {"namespace": meta.namespace, "name": meta.name}
    return PlanDraft(
        params={"application": meta.name, "namespace": meta.namespace, "mode": params.mode},
        preconditions=(
            Precondition(
                f"Application {meta.name} exists and is not being deleted",
                meta.deletion_timestamp is None,
                f"namespace {meta.namespace}",
            ),
        ),
        steps=(
            StepSpec(
                verb="refresh",
                title=f"Refresh {meta.name}, {params.mode}",
                how="merge patch",
                resource=calls.APPLICATIONS,
                namespace=meta.namespace,
                name=meta.name,
                effect=calls.refresh_patch(params.mode),
                until=Condition("argocd_refreshed", where),
                timeout_seconds=180,
            ),
        ),
        # an Application may well be OutOfSync after a refresh: the wait for the comparison is the evidence
        verification=Verification((), 0, 0),
        undo=_UNDO,
        blast=Blast(sentence="Nothing is changed; Argo CD reads Git and the cluster."),
    )


ACTION = Action(
    slug="refresh-application",
    title="Refresh an Application",
    family="Argo CD",
    tier=0,
    summary="Ask Argo CD to compare an Application with Git now.",
    params=RefreshParams,
    needs=needs,
    draft=draft,
    rules=(Rule("argoproj.io", "applications", ("get", "patch")),),
    undo=_UNDO,
)
