"""Ending an operation that runs, and clearing one that only its state still shows: never one for the other."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.catalogue.seen import Outlook
from tests.deployments.argo.world import RUNNING, above, alone, body, both, look, planned, seen, stack, unmet

STALE = {"status": {"operationState": {"phase": "Running", "startedAt": "2025-11-23T12:00:00Z", "finishedAt": None}}}
TERMINATE, CLEAR = "terminate-operation", "clear-stale-operation"


def test_a_live_operation_is_terminated_by_one_guarded_patch() -> None:
    draft = planned(TERMINATE, seen(stack(RUNNING), above()))
    assert unmet(draft) == []
    assert body(draft, 0)["status"] == {"operationState": {"phase": "Terminating"}}
    assert [g.name for g in draft.steps[0].guards] == ["argocd_running"]
    assert "started by admin since 2025-11-23 13:55:00: syncing" in draft.preconditions[1].evidence
    assert "does not try the same revision again" in draft.blast.sentence


@pytest.mark.parametrize(
    ("patch", "evidence"),
    [
        ({}, "none"),
        (STALE, "clear the stale operation instead"),
        (both(RUNNING, {"status": {"operationState": {"phase": "Terminating"}}}), "its phase is Terminating"),
        ({"operation": {"sync": {}}, "status": {"operationState": None}}, "has not begun it"),
    ],
)
def test_without_a_live_operation_nothing_is_terminated(patch: dict[str, Any], evidence: str) -> None:
    [said] = unmet(planned(TERMINATE, seen(stack(patch), above())))
    assert evidence in said


def test_the_guard_reads_again_whether_it_runs() -> None:
    assert look("argocd_running", seen(stack(RUNNING))).outlook == Outlook.MET
    assert look("argocd_running", seen(stack(STALE))).outlook == Outlook.REFUSED
    assert look("argocd_running", seen(stack())).outlook == Outlook.REFUSED


# -- stale


def test_a_stale_state_is_dropped_and_then_compared() -> None:
    draft = planned(CLEAR, seen(stack(STALE), above()))
    assert unmet(draft) == []
    assert [s.verb for s in draft.steps] == ["clear", "refresh"]
    assert body(draft, 0)["status"] == {"operationState": None}
    assert "operation" not in body(draft, 0)
    assert "Auto-sync may begin" in draft.blast.sentence
    manual = alone(both(STALE, {"spec": {"syncPolicy": {"automated": None}}}))
    assert "A sync can be started" in planned(CLEAR, seen(manual)).blast.sentence


@pytest.mark.parametrize(
    ("patch", "evidence"),
    [
        ({}, "the last operation ended Succeeded"),
        (RUNNING, "terminate it instead"),
        (
            {"status": {"operationState": {"phase": "Running", "startedAt": "2025-11-23T13:59:00Z"}}},
            "wait two minutes",
        ),
    ],
)
def test_what_is_not_stale_is_not_cleared(patch: dict[str, Any], evidence: str) -> None:
    fresh = both({"status": {"operationState": {"finishedAt": None}}}, patch) if patch else patch
    [said] = unmet(planned(CLEAR, seen(stack(fresh), above())))
    assert evidence in said


def test_a_parent_that_freezes_the_status_is_named() -> None:
    options = {"spec": {"syncPolicy": {"syncOptions": ["ServerSideApply=true", "RespectIgnoreDifferences=true"]}}}
    [said] = unmet(planned(CLEAR, seen(stack(STALE), above(options))))
    assert "root-app applies it with ServerSideApply" in said


def test_the_guards_of_clearing() -> None:
    assert look("argocd_stale", seen(stack(STALE))).outlook == Outlook.MET
    assert look("argocd_stale", seen(stack(RUNNING))).outlook == Outlook.REFUSED
    assert look("argocd_stale", seen(stack())).outlook == Outlook.REFUSED
    assert look("argocd_stale", seen(above())).outlook == Outlook.REFUSED


def test_cleared_is_gone_or_another_operations() -> None:
    started = "2025-11-23T12:00:00+00:00"
    assert look("argocd_state_cleared", seen(stack(STALE)), started=started).outlook == Outlook.NOT_YET
    gone = {"status": {"operationState": None}}
    assert look("argocd_state_cleared", seen(stack(gone)), started=started).outlook == Outlook.MET
    assert look("argocd_state_cleared", seen(stack(RUNNING)), started=started).outlook == Outlook.MET
