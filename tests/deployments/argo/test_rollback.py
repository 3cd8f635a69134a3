"""Rolling back replays the recorded source, credentials included, without one of them standing in the plan."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.catalogue.action import CannotPlan
from deployments.catalogue.argo import credentials
from deployments.catalogue.seen import Outlook
from tests.deployments.argo.world import (
    PASSWORD,
    RUNNING,
    above,
    body,
    both,
    look,
    manifest,
    merged,
    planned,
    seen,
    stack,
    unmet,
    values_text,
)

SLUG = "roll-back-application"
SOURCE = manifest()["spec"]["source"]
OLDER = merged(SOURCE, {"targetRevision": "55.4.1", "helm": {"values": values_text().replace("15d", "30d")}})
HISTORY = [
    {"id": 3, "revision": "55.4.1", "deployedAt": "2025-11-20T10:00:00Z", "source": OLDER},
    {"id": 4, "revision": "55.5.0", "deployedAt": "2025-11-22T10:00:00Z", "source": SOURCE},
]
MANUAL = {"spec": {"syncPolicy": {"automated": None}}, "status": {"history": HISTORY}}


def test_the_recorded_source_is_sent_as_it_was() -> None:
    app = stack(MANUAL)
    draft = planned(SLUG, seen(app, above()), id=3)
    assert unmet(draft) == []
    sync = body(draft, 0)["operation"]["sync"]
    assert sync["prune"] is False and sync["syncStrategy"] == {"apply": {}}
    assert sync["syncOptions"] == ["CreateNamespace=true", "ServerSideApply=true"]
    restored = credentials.restore(sync, app)
    assert (restored["revision"], restored["source"]) == ("55.4.1", OLDER)


def test_no_credential_of_it_stands_in_the_plan() -> None:
    draft = planned(SLUG, seen(stack(MANUAL), above()), id=3)
    assert PASSWORD not in repr(draft)
    assert "values.prometheus.prometheusSpec.retention: 30d (now 15d)" in draft.blast.sentence
    assert "targetRevision: 55.4.1 (now 55.5.0)" in draft.blast.sentence


@pytest.mark.parametrize(
    ("patch", "number", "sentence"),
    [
        ({"status": {"history": HISTORY}}, 3, "it is on: pause it first"),
        (both(MANUAL, RUNNING), 3, "one that admin started runs"),
        (MANUAL, 4, "it is the last one"),
        (both(MANUAL, {"metadata": {"deletionTimestamp": "2025-11-23T13:00:00Z"}}), 3, "being deleted"),
    ],
)
def test_a_precondition_that_is_not_met_is_named(patch: dict[str, Any], number: int, sentence: str) -> None:
    assert any(sentence in said for said in unmet(planned(SLUG, seen(stack(patch), above()), id=number)))


def test_an_id_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(CannotPlan, match="has no id 7. It has: 3, 4"):
        planned(SLUG, seen(stack(MANUAL), above()), id=7)
    bare = both(MANUAL, {"status": {"history": [{"id": 3, "revision": "1"}]}})
    with pytest.raises(CannotPlan, match="does not say what was deployed"):
        planned(SLUG, seen(stack(bare), above()), id=3)


def test_several_sources_are_replayed_together() -> None:
    entry = {"id": 3, "revisions": ["a", "b"], "sources": [{"ref": "values"}, OLDER]}
    app = stack(both(MANUAL, {"status": {"history": [entry, HISTORY[1]]}}))
    sync = credentials.restore(body(planned(SLUG, seen(app), id=3), 0)["operation"]["sync"], app)
    assert sync["revisions"] == ["a", "b"] and sync["sources"][1] == OLDER and "source" not in sync


def test_the_guards_are_read_again() -> None:
    draft = planned(SLUG, seen(stack(MANUAL), above()), id=3)
    assert [g.name for g in draft.steps[0].guards] == ["argocd_idle", "argocd_manual", "argocd_history_entry"]
    where = {"index": 0, "id": 3}
    assert look("argocd_history_entry", seen(stack(MANUAL)), **where).outlook == Outlook.MET
    moved = both(MANUAL, {"status": {"history": HISTORY[1:]}})
    assert look("argocd_history_entry", seen(stack(moved)), **where).outlook == Outlook.REFUSED
    assert look("argocd_manual", seen(stack(MANUAL))).outlook == Outlook.MET
    assert look("argocd_manual", seen(stack())).outlook == Outlook.REFUSED


def test_hostile_text_of_the_history_is_not_taken_for_a_placeholder() -> None:
    hostile = merged(OLDER, {"targetRevision": "${run.secret}"})
    app = stack(both(MANUAL, {"status": {"history": [{**HISTORY[0], "source": hostile}, HISTORY[1]]}}))
    with pytest.raises(CannotPlan, match="placeholder"):
        planned(SLUG, seen(app), id=3)
