"""Syncing: what is applied and pruned is what the plan showed, and nothing that would take others with it."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.catalogue.action import CannotPlan
from deployments.catalogue.seen import Outlook
from monitoring.snapshot import Missing, from_case
from tests.deployments.argo.world import (
    APPS,
    GRAFANA,
    MISSING,
    NOW,
    RUNNING,
    STACK,
    above,
    body,
    entry,
    look,
    merged,
    planned,
    seen,
    stack,
    unmet,
)

GONE = entry("Deployment", GRAFANA, group="apps", status="OutOfSync", **MISSING)
CHANGED = entry("Deployment", f"{STACK}-operator", group="apps", status="OutOfSync", health={"status": "Healthy"})
EXTRA = entry("ConfigMap", "old", status="OutOfSync", requiresPruning=True)
ALL = "sync-application"
SOME = "sync-selected-resources"


# -- the whole


def test_a_whole_sync_is_refresh_compare_and_one_operation_without_pruning() -> None:
    draft = planned(ALL, seen(stack(None, GONE, CHANGED, EXTRA), above()))
    assert [s.verb for s in draft.steps] == ["refresh", "compare", "sync"]
    sync = body(draft, 2)["operation"]["sync"]
    assert (sync["prune"], "resources" in sync, sync["revision"]) == (False, False, "")
    assert sync["syncOptions"] == ["CreateNamespace=true", "ServerSideApply=true"]
    assert body(draft, 2)["status"] == {"operationState": None}
    assert unmet(draft) == []
    assert (draft.tier, draft.confirm) == (None, "")


def test_it_says_what_is_made_changed_and_left() -> None:
    draft = planned(ALL, seen(stack(None, GONE, CHANGED, EXTRA), above()))
    assert draft.blast.created == (f"Deployment {GRAFANA}",)
    assert draft.blast.changed == (f"Deployment {STACK}-operator",)
    assert draft.blast.deleted == ()
    assert "Git no longer has ConfigMap old; they stay" in draft.blast.sentence
    assert f"Pods of Deployment {STACK}-operator are replaced" in draft.blast.sentence
    assert draft.verification.checks == (), "with something left to prune Argo CD goes on saying OutOfSync"
    assert planned(ALL, seen(stack(None, GONE), above())).verification.checks[0].type == "argocd_application"


def test_pruning_shows_its_list_and_is_tier_three_with_the_name_to_type() -> None:
    draft = planned(ALL, seen(stack(None, EXTRA), above()), prune="on")
    assert body(draft, 2)["operation"]["sync"]["prune"] is True
    assert draft.blast.deleted == ("ConfigMap old",)
    assert (draft.tier, draft.confirm, draft.steps[2].irreversible) == (3, STACK, True)
    assert any("1 are deleted: ConfigMap old" in p.evidence for p in draft.preconditions)
    assert unmet(draft) == []


def test_with_nothing_to_prune_the_operation_does_not_prune_either() -> None:
    draft = planned(ALL, seen(stack(None, GONE), above()), prune="on")
    assert body(draft, 2)["operation"]["sync"]["prune"] is False
    assert (draft.tier, draft.confirm) == (None, "")


@pytest.mark.parametrize(
    ("group", "kind"),
    [
        ("apiextensions.k8s.io", "CustomResourceDefinition"),
        ("", "Namespace"),
        ("", "PersistentVolumeClaim"),
        ("argoproj.io", "Application"),
    ],
)
def test_what_takes_others_with_it_is_never_pruned(group: str, kind: str) -> None:
    doomed = entry(kind, "precious", group=group, status="OutOfSync", requiresPruning=True)
    [said] = unmet(planned(ALL, seen(stack(None, EXTRA, doomed), above()), prune="on"))
    assert f"{kind} precious" in said
    assert unmet(planned(ALL, seen(stack(None, EXTRA, doomed), above()), prune="off")) == []


@pytest.mark.parametrize(
    ("patch", "sentence"),
    [
        ({"metadata": {"deletionTimestamp": "2025-11-23T13:00:00Z"}}, "is not being deleted"),
        (RUNNING, "one that admin started runs"),
        ({"status": {"operationState": {"phase": "Running"}}}, "clear the stale operation first"),
        (
            {"status": {"conditions": [{"type": "ComparisonError", "message": "helm failed"}]}},
            "ComparisonError: helm failed",
        ),
        ({"status": {"sync": {"status": "Unknown"}}}, "Argo CD can compare"),
    ],
)
def test_a_precondition_that_is_not_met_is_named(patch: dict[str, Any], sentence: str) -> None:
    for slug in (ALL, SOME):
        assert any(sentence in said for said in unmet(planned(slug, seen(stack(patch, GONE), above()))))


def test_a_message_with_a_credential_is_not_repeated() -> None:
    told = {"status": {"conditions": [{"type": "ComparisonError", "message": "bad values: adminPassword: hunter2x"}]}}
    assert "hunter2x" not in repr(planned(ALL, seen(stack(told, GONE), above())))


def test_a_closed_window_is_never_passed_by() -> None:
    window = {"kind": "deny", "schedule": "0 13 * * *", "duration": "2h", "applications": ["kube-*"]}
    project = {
        "metadata": {"name": "infrastructure", "namespace": "argocd"},
        "spec": {"syncWindows": [window]},
    }
    for slug in (ALL, SOME):
        assert any("No sync window" in u for u in unmet(planned(slug, seen(stack(None, GONE), project=project))))


def test_other_names_than_those_that_run_would_be_a_second_stack() -> None:
    rows = [entry("Deployment", f"other-{n}", group="apps", status="OutOfSync", **MISSING) for n in range(3)]
    lost = {"status": {"resources": rows, "health": {"status": "Missing"}, "sync": {"status": "OutOfSync"}}}
    assert any("second" in u or "names that run" in u for u in unmet(planned(ALL, seen(merged(stack(), lost)))))
    fresh = merged(stack(), {"status": {**lost["status"], "history": []}})
    assert unmet(planned(ALL, seen(fresh))) == [], "what was never synced has nothing that runs"


def test_the_order_of_the_status_does_not_matter() -> None:
    one = stack(None, GONE, CHANGED, EXTRA)
    other = merged(one, {"status": {"resources": one["status"]["resources"][::-1]}})
    assert planned(ALL, seen(one)) == planned(ALL, seen(other))
    assert planned(SOME, seen(one)) == planned(SOME, seen(other))


def test_a_draft_of_its_own_parameters_is_the_same() -> None:
    for slug in (ALL, SOME):
        first = planned(slug, seen(stack(None, GONE, CHANGED), above()))
        assert planned(slug, seen(stack(None, GONE, CHANGED), above()), **first.params) == first


def test_what_was_not_read_never_starts_a_sync() -> None:
    blind = from_case({"taken_at": NOW, "errors": {APPS: "The API server does not answer."}})
    with pytest.raises(Missing):
        planned(ALL, blind)
    with pytest.raises(CannotPlan, match="There is no Application kube-prometheus-stack. There are: root-app"):
        planned(ALL, seen(above()))
    twice = merged(stack(), {"metadata": {"namespace": "team-a"}})
    with pytest.raises(CannotPlan, match="in argocd, team-a; say which"):
        planned(ALL, seen(stack(), twice))


# -- the guard


def within(*differ: dict[str, Any], planned_for: tuple[dict[str, Any], ...], **patch: Any) -> Any:
    args = planned(ALL, seen(stack(None, *planned_for))).steps[1].until
    assert args is not None
    return look("argocd_differs_within", seen(stack(patch or None, *differ)), **args.args)


def test_the_sync_goes_on_while_nothing_else_differs_than_shown() -> None:
    assert within(GONE, EXTRA, planned_for=(GONE, CHANGED, EXTRA)).outlook == Outlook.MET
    assert within(planned_for=(GONE,)).outlook == Outlook.MET
    more = within(GONE, CHANGED, planned_for=(GONE,))
    assert more.outlook == Outlook.REFUSED and f"Deployment {STACK}-operator" in more.sentence
    pruned = within(GONE, EXTRA, planned_for=(GONE,))
    assert pruned.outlook == Outlook.REFUSED and "ConfigMap old" in pruned.sentence


def test_the_guard_knows_what_argo_cd_cannot_compare() -> None:
    error = {"conditions": [{"type": "ComparisonError", "message": "x"}]}
    assert within(planned_for=(GONE,), status=error).outlook == Outlook.REFUSED
    assert within(planned_for=(GONE,), status={"sync": {"status": "Unknown"}}).outlook == Outlook.NOT_YET
    assert look("argocd_differs_within", seen(above()), differ=[], pruned=[]).outlook == Outlook.REFUSED


# -- selected


def test_without_a_list_it_is_what_differs() -> None:
    draft = planned(SOME, seen(stack(None, GONE, CHANGED, EXTRA), above()))
    names = [r["name"] for r in body(draft, 0)["operation"]["sync"]["resources"]]
    assert names == [GRAFANA, f"{STACK}-operator"]
    assert draft.params["resources"] == (
        f"Deployment.apps/platform-monitoring/{GRAFANA}, Deployment.apps/platform-monitoring/{STACK}-operator"
    )
    assert [c.params["name"] for c in draft.verification.checks] == names
    assert "no history entry" in draft.git_way


@pytest.mark.parametrize(
    "text",
    [f"Deployment/{GRAFANA}", f"deployment.apps/platform-monitoring/{GRAFANA}", f"Deployment.apps/{GRAFANA}\n"],
)
def test_an_object_is_named_in_any_of_the_usual_ways(text: str) -> None:
    draft = planned(SOME, seen(stack()), resources=text)
    [one] = body(draft, 0)["operation"]["sync"]["resources"]
    assert one == {"group": "apps", "kind": "Deployment", "namespace": "platform-monitoring", "name": GRAFANA}
    assert draft.blast.unchanged == (f"Deployment {GRAFANA}",)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("Deployment/nope", "renders no Deployment/nope"),
        ("grafana", "is not Kind/name"),
        ("", "Nothing of kube-prometheus-stack differs"),
    ],
)
def test_what_is_not_rendered_cannot_be_synced(text: str, sentence: str) -> None:
    with pytest.raises(CannotPlan, match=sentence):
        planned(SOME, seen(stack()), resources=text)


def test_two_objects_of_one_name_have_to_be_told_apart() -> None:
    twin = entry("Service", "twin")
    other = {**entry("Service", "twin"), "namespace": "elsewhere"}
    app = merged(stack(), {"status": {"resources": [twin, other]}})
    with pytest.raises(CannotPlan, match="2 objects"):
        planned(SOME, seen(app), resources="Service/twin")
    assert (
        len(body(planned(SOME, seen(app), resources="Service/elsewhere/twin"), 0)["operation"]["sync"]["resources"])
        == 1
    )


def test_what_git_no_longer_has_is_not_applied() -> None:
    [said] = unmet(planned(SOME, seen(stack(None, EXTRA)), resources="ConfigMap/old"))
    assert "Git no longer has ConfigMap old" in said
