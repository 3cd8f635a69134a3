"""*Refresh an Application*: ask Argo CD to compare with Git now. Changes nothing but the time of the comparison."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import msgspec

from deployments.catalogue.action import Action, Blast, PlanDraft, Rule, Verification
from deployments.catalogue.argo import calls, targets
from monitoring.snapshot import Need, Objects, Snapshot

_UNDO = "Not needed: a refresh changes no desired state."


class RefreshParams(targets.ApplicationParams, frozen=True):
    """Which Application, and how thoroughly."""

    mode: Annotated[Literal["normal", "hard"], msgspec.Meta(description="hard also drops the manifest cache")] = (
        "normal"
    )


def needs(_snapshot: Snapshot, _params: RefreshParams) -> Iterable[Need]:
    """Applications."""
    return (Objects(calls.APPLICATIONS),)


def draft(snapshot: Snapshot, params: RefreshParams) -> PlanDraft:
    """One patch and the wait for its effect. :raises CannotPlan, Missing:"""
    app = targets.find(snapshot, params)
    return PlanDraft(
        params=targets.named(app) | {"mode": params.mode},
        preconditions=(targets.alive(app),),
        steps=(targets.refresh_step(app, params.mode),),
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
    summary="Ask Argo CD to compare an Application with Git now; hard also drops its manifest cache.",
    params=RefreshParams,
    needs=needs,
    draft=draft,
    rules=(Rule("argoproj.io", "applications", ("get", "patch")),),
    undo=_UNDO,
    guards=("The Application is there and is not being deleted.",),
    verified_by="Argo CD took the request and compared anew.",
    reference="https://argo-cd.readthedocs.io/en/stable/user-guide/annotations-and-labels/",
)
