"""Pausing auto-sync keeps its exact value, says who would revert it, and comes with what resumes it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from deployments.catalogue import registry
from deployments.catalogue.action import CannotPlan
from deployments.catalogue.argo import autosync
from deployments.catalogue.seen import Outlook
from monitoring.snapshot import Snapshot
from tests.deployments.argo.world import (
    CONTROLLER,
    STACK,
    above,
    alone,
    body,
    look,
    merged,
    planned,
    seen,
    stack,
    unmet,
)

PAUSE, RESUME = "pause-auto-sync", "resume-auto-sync"
OLD = {"prune": True, "selfHeal": True}
NEWER = merged(CONTROLLER, {"spec": {"containers": [{"name": "c", "image": "quay.io/argoproj/argocd:v3.2.1"}]}})


def automated(value: Any) -> dict[str, Any]:
    """The Application with this ``automated``, whole."""
    app = alone({"spec": {"syncPolicy": {"automated": None}}})
    if value is not None:
        app["spec"]["syncPolicy"]["automated"] = value
    return app


def test_an_older_argo_cd_has_the_value_taken_out_and_kept() -> None:
    draft = planned(PAUSE, seen(automated(OLD)), minutes=45)
    assert unmet(draft) == []
    assert body(draft, 0)["spec"] == {"syncPolicy": {"automated": None}}
    assert json.loads(body(draft, 0)["metadata"]["annotations"][autosync.NOTE]) == OLD
    follow = draft.follow_up
    assert follow is not None
    assert (follow.action, follow.after_seconds) == (RESUME, 45 * 60)
    assert json.loads(follow.params["automated"]) == OLD
    assert registry.parse(follow.action, follow.params) is not None


def test_from_3_1_on_it_is_switched_off_and_keeps_its_settings() -> None:
    draft = planned(PAUSE, seen(automated(OLD), objects={"pods": [NEWER]}))
    assert body(draft, 0)["spec"] == {"syncPolicy": {"automated": {"enabled": False}}}
    assert "Argo CD 3.2" in draft.blast.sentence


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("quay.io/argoproj/argocd:v3.1.0", (3, 1)),
        ("registry.local:5000/argo-cd:2.14.20-patched", (2, 14)),
        ("quay.io/argoproj/argocd@sha256:abc", None),
        ("quay.io/other/thing:v9.9", None),
    ],
)
def test_the_version_is_read_from_the_controllers_image(image: str, version: tuple[int, int] | None) -> None:
    pod = merged(CONTROLLER, {"spec": {"containers": [{"name": "c", "image": image}]}})
    assert autosync.version_of(seen(objects={"pods": [pod]}).objects("pods")) == version


def test_an_unknown_version_takes_the_way_that_works_everywhere() -> None:
    draft = planned(PAUSE, seen(automated(OLD), objects={"pods": []}))
    assert body(draft, 0)["spec"]["syncPolicy"]["automated"] is None
    assert "version is not known" in draft.blast.sentence


def test_what_a_parent_reverts_at_once_is_not_paused_and_the_way_out_is_named() -> None:
    [said] = unmet(planned(PAUSE, seen(stack(), above())))
    assert "root-app reverts it within seconds" in said
    assert "pause auto-sync of root-app first" in said
    rule = {"group": "argoproj.io", "kind": "Application", "jsonPointers": ["/spec/syncPolicy/automated"]}
    assert unmet(planned(PAUSE, seen(stack(), above({"spec": {"ignoreDifferences": [rule]}})))) == []
    assert unmet(planned(PAUSE, seen(stack(), above({"spec": {"syncPolicy": {"automated": None}}})))) == []
    made = merged(alone(), {"metadata": {"ownerReferences": [{"kind": "ApplicationSet", "name": "all"}]}})
    assert any("ApplicationSet all" in u for u in unmet(planned(PAUSE, seen(made))))
    # its parent is named and cannot be read: nobody knows
    assert any("root-app manages it and could not be read" in u for u in unmet(planned(PAUSE, seen(stack()))))


def test_what_is_off_cannot_be_paused() -> None:
    for value in (None, {"enabled": False, **OLD}):
        assert any("it is off already" in u for u in unmet(planned(PAUSE, seen(automated(value)))))


# -- resume


def paused(now: Any, note: str = "") -> dict[str, Any]:
    app = automated(now)
    if note:
        app["metadata"]["annotations"] = {autosync.NOTE: note}
    return app


def applied(app: dict[str, Any], patch: dict[str, Any]) -> Any:
    return merged(app, {"spec": patch["spec"]})["spec"]["syncPolicy"].get("automated")


@pytest.mark.parametrize("old", [OLD, {}, {"prune": False, "allowEmpty": True}, {"enabled": True, "selfHeal": True}])
@pytest.mark.parametrize("newer", [False, True])
def test_pause_and_resume_give_back_exactly_what_was_there(old: dict[str, Any], newer: bool) -> None:
    app = automated(old)
    pods = {"pods": [NEWER if newer else CONTROLLER]}
    pause = planned(PAUSE, seen(app, objects=pods))
    between = merged(app, body(pause, 0))
    assert between["spec"]["syncPolicy"].get("automated", {"enabled": False})["enabled"] is False
    assert pause.follow_up is not None
    resume = planned(RESUME, seen(between, objects=pods), **pause.follow_up.params)
    after = merged(between, body(resume, 0))
    assert after["spec"] == app["spec"]
    assert autosync.NOTE not in after["metadata"]["annotations"]
    assert unmet(resume) == []


def test_whoever_finds_it_paused_resumes_it_by_the_note() -> None:
    draft = planned(RESUME, seen(paused(None, json.dumps(OLD))))
    assert applied(paused(None), body(draft, 0)) == OLD
    with pytest.raises(CannotPlan, match="Nobody noted"):
        planned(RESUME, seen(paused(None)))


def test_what_is_on_needs_no_resuming() -> None:
    with pytest.raises(CannotPlan, match="on already"):
        planned(RESUME, seen(automated(OLD)), automated=json.dumps(OLD))


@pytest.mark.parametrize("bad", ["x", "[]", '{"prune": "yes"}', '{"enabled": false}', '{"prune": true, "other": true}'])
def test_a_value_that_is_none_is_refused(bad: str) -> None:
    with pytest.raises(CannotPlan):
        planned(RESUME, seen(paused(None)), automated=bad)


# -- the wait


def at(snap: Snapshot, seconds: int) -> Snapshot:
    return Snapshot(snap.cluster, snap.taken_at + timedelta(seconds=seconds), snap.listings, snap.replies)


def test_the_pause_must_stay_for_ten_seconds() -> None:
    off, on = seen(automated(None)), seen(automated(OLD))
    wait = {"on": False, "steady_seconds": 10}
    first = look("argocd_auto_sync", off, **wait)
    assert first.outlook == Outlook.NOT_YET
    assert look("argocd_auto_sync", at(off, 9), first.memory, **wait).outlook == Outlook.NOT_YET
    assert look("argocd_auto_sync", at(off, 10), first.memory, **wait).outlook == Outlook.MET
    reverted = look("argocd_auto_sync", at(on, 5), first.memory, **wait)
    assert reverted.outlook == Outlook.FAILED and "Somebody turned auto-sync" in reverted.sentence
    assert look("argocd_auto_sync", on, **wait).outlook == Outlook.NOT_YET
    assert look("argocd_auto_sync", seen(above()), **wait).outlook == Outlook.REFUSED


def test_a_draft_of_its_own_parameters_is_the_same() -> None:
    first = planned(PAUSE, seen(automated(OLD)), minutes=5)
    assert planned(PAUSE, seen(automated(OLD)), **first.params) == first
    assert first.params == {"application": STACK, "namespace": "argocd", "minutes": 5}
