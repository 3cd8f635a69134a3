"""An action with one step of any kind of effect, for tests: on a ConfigMap ``board``, or one call to Alertmanager."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest

from deployments.catalogue import families, registry
from deployments.catalogue.action import (
    MARK,
    Action,
    Apply,
    Call,
    Condition,
    Create,
    Delete,
    Effect,
    Evict,
    FollowUp,
    Params,
    Patch,
    PlanDraft,
    StepSpec,
    Verification,
)
from deployments.catalogue.seen import Outlook, Predicate, Seen
from monitoring.snapshot import Objects
from tests.deployments.fake import NAMESPACE, FakeCluster

CONFIG = "configmaps"
#: what stands in place of a credential of the object itself
MASKED = "a: 2\nadminPassword: ${live:/data/values#0}\n"
EFFECTS: dict[str, Effect] = {
    "create": Create(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "board", "annotations": {MARK: "${run.mark}"}},
            "data": {"by": "${run.user}", "until": "${run.time+3600}"},
        }
    ),
    "secret": Create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "board", "annotations": {MARK: "${run.mark}"}},
            "stringData": {"admin-password": "${run.secret}"},
        }
    ),
    "apply": Apply(
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "board", "annotations": {MARK: "${run.mark}"}},
            "data": {"a": "2"},
        },
        manager="boards",
    ),
    "patch": Patch("merge", {"metadata": {"annotations": {MARK: "${run.mark}"}}, "data": {"a": "2", "b": None}}),
    "values": Patch("merge", {"metadata": {"annotations": {MARK: "${run.mark}"}}, "data": {"values": MASKED}}),
    "delete": Delete(),
    "evict": Evict(),
    "call": Call("alertmanager", "POST", "/api/v2/silences", Condition("test_called", {}), {"comment": "${run.mark}"}),
}


class OneParams(Params, frozen=True):
    """Which effect, how, and which conditions its step has."""

    effect: str
    unless: str = ""
    guard: str = ""
    until: str = ""
    resource: str = CONFIG
    follow: Annotated[int, msgspec.Meta(ge=0)] = 0


def _named(condition: str) -> Condition | None:
    return Condition(condition) if condition else None


def _draft(_snapshot: Any, params: OneParams) -> PlanDraft:
    follows = FollowUp("one-effect", {"effect": "patch"}, 0, "put it back") if params.follow else None
    step = StepSpec(
        verb="do",
        title=f"{params.effect} the board",
        how=params.effect,
        resource="silences.alertmanager" if params.effect == "call" else params.resource,
        namespace="" if params.effect == "call" else NAMESPACE,
        name="board",
        effect=EFFECTS[params.effect],
        unless=_named(params.unless),
        guards=(Condition(params.guard),) if params.guard else (),
        until=_named(params.until),
        timeout_seconds=5,
    )
    return PlanDraft(
        params=msgspec.to_builtins(params),
        preconditions=(),
        steps=(step,),
        verification=Verification((), 0, 0),
        undo="as stored",
        follow_up=follows,
    )


ONE = Action(
    slug="one-effect",
    title="One effect",
    tier=1,
    summary="For tests.",
    params=OneParams,
    needs=lambda _snapshot, _params: (Objects(CONFIG, NAMESPACE),),
    draft=_draft,
    rules=(),
    undo="as stored",
    undoable=True,
)


def install(monkeypatch: pytest.MonkeyPatch, cluster: FakeCluster) -> None:
    """Make the action known, and the condition by which its call is seen."""
    monkeypatch.setitem(registry._ACTIONS, ONE.slug, ONE)

    def called(_snapshot: Any, _args: Any, _memory: Any) -> Seen:
        return Seen(Outlook.MET if cluster.calls else Outlook.NOT_YET, f"{len(cluster.calls)} calls")

    monkeypatch.setitem(families.CONDITIONS, "test_called", Predicate(lambda _s, _a: (), called))


def board(**data: str) -> dict[str, Any]:
    """A ConfigMap that is there."""
    meta = {"name": "board", "namespace": NAMESPACE, "uid": "cm-1"}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
