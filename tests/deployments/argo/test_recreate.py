"""Delete and recreate: nothing cascades, everything is counted, and it comes back exactly as it was or not at all."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from deployments.catalogue.action import MARK, Condition, Create, Delete
from deployments.catalogue.argo import inventory
from deployments.catalogue.seen import Outlook
from monitoring.snapshot import Missing, Snapshot
from tests.deployments.argo.world import (
    GRAFANA,
    PASSWORD,
    RUNNING,
    STACK,
    above,
    alone,
    body,
    entry,
    look,
    merged,
    planned,
    seen,
    stack,
    unmet,
)

SLUG = "recreate-application"
NS = "platform-monitoring"
FINALIZER = "resources-finalizer.argocd.argoproj.io"
PLAIN = {"spec": {"source": {"helm": {"values": "grafana:\n  enabled: true\n"}}}}


def thing(kind: str, name: str, uid: str, namespace: str = NS, **meta: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": name, "namespace": namespace, "uid": uid, **meta}}


CHILDREN: dict[str, list[dict[str, Any]]] = {
    "configmaps": [thing("ConfigMap", GRAFANA, "cm-1"), thing("ConfigMap", "not-ours", "cm-2")],
    "deployments.apps": [thing("Deployment", f"{STACK}-operator", "dep-1")],
    "services": [thing("Service", GRAFANA, "svc-1")],
}


def scene(*apps: dict[str, Any], **children: Any) -> Snapshot:
    return seen(*apps, objects={**copy.deepcopy(CHILDREN), **children})


def test_the_parent_makes_it_again_and_no_spec_stands_in_the_plan() -> None:
    draft = planned(SLUG, scene(stack(), above()))
    assert unmet(draft) == []
    assert [s.verb for s in draft.steps] == ["check", "strip", "delete", "wait", "compare", "check"]
    assert draft.confirm == STACK
    assert PASSWORD not in repr(draft)
    assert "root-app makes it again from Git by itself" in draft.preconditions[-1].evidence
    assert [ref.name for ref in draft.locks] == ["root-app"]


def test_only_argo_cds_resources_finalizer_goes_and_the_deletion_orphans() -> None:
    finalizers = ["x.io/keep", f"{FINALIZER}/background", FINALIZER]
    draft = planned(SLUG, scene(stack({"metadata": {"finalizers": finalizers}}), above()))
    assert unmet(draft) == []
    assert body(draft, 1)["metadata"]["finalizers"] == ["x.io/keep"]
    assert any("x.io/keep stays" in p.evidence for p in draft.preconditions)
    assert draft.steps[2].effect == Delete("Orphan")
    assert [g.name for g in draft.steps[2].guards] == ["argocd_idle", "argocd_not_cascading"]
    bare = planned(SLUG, scene(stack({"metadata": {"finalizers": None}}), above()))
    assert [s.verb for s in bare.steps] == ["check", "delete", "wait", "compare", "check"]


def test_the_inventory_names_every_object_that_is_there_with_its_uid() -> None:
    draft = planned(SLUG, scene(stack(), above()))
    assert draft.blast.unchanged == (f"ConfigMap {GRAFANA}", f"Service {GRAFANA}", f"Deployment {STACK}-operator")
    kept = draft.steps[0].until
    assert kept is not None and kept == draft.steps[-1].until
    assert ["configmaps", NS, "ConfigMap", GRAFANA, "cm-1"] in kept.args["children"]
    [known] = [p for p in draft.preconditions if p.sentence.startswith("Everything it manages")]
    assert known.evidence == "3 objects are there, 1 that Git wants are not there, 1 of kinds that are not listed here"


def test_a_parent_that_does_not_heal_is_asked_for_this_object_alone() -> None:
    quiet = above({"spec": {"syncPolicy": {"automated": {"selfHeal": False}}}})
    draft = planned(SLUG, scene(stack(), quiet))
    assert unmet(draft) == []
    assert [s.verb for s in draft.steps] == ["check", "strip", "delete", "sync", "wait", "compare", "check"]
    sync = draft.steps[3]
    assert (sync.name, sync.namespace) == ("root-app", "argocd")
    [one] = body(draft, 3)["operation"]["sync"]["resources"]
    assert (one["kind"], one["name"]) == ("Application", STACK)


def test_without_a_parent_the_old_object_is_created_again_unchanged() -> None:
    app = alone(PLAIN)
    app["metadata"] |= {"resourceVersion": "7", "generation": 3, "creationTimestamp": "2025-11-01T00:00:00Z"}
    draft = planned(SLUG, scene(app))
    assert unmet(draft) == []
    [create] = [s for s in draft.steps if s.verb == "create"]
    assert isinstance(create.effect, Create)
    made = create.effect.body
    assert made["spec"] == app["spec"]
    assert made["metadata"] == {
        "name": STACK,
        "namespace": "argocd",
        "labels": app["metadata"]["labels"],
        "finalizers": [FINALIZER],
        "annotations": {MARK: "${run.mark}"},
    }
    assert "status" not in made and "operation" not in made


def test_a_credential_in_the_spec_is_never_written_down_for_it() -> None:
    draft = planned(SLUG, scene(alone()))
    assert any("holds a credential that no plan may keep" in u for u in unmet(draft))
    assert PASSWORD not in repr(draft)
    hostile = alone({"spec": {"source": {"helm": {"values": "a: ${run.secret}\n"}}}})
    assert any("placeholder" in u for u in unmet(planned(SLUG, scene(hostile))))


@pytest.mark.parametrize(
    ("parent", "sentence"),
    [
        (above(status="OutOfSync"), "Git says something else than what is there"),
        (above(requiresPruning=True), "it would stay deleted"),
        (above({"status": {"resources": []}}), "it would stay deleted"),
        (above(RUNNING), "root-app makes it, and one that admin started runs"),
        (
            above({"status": {"conditions": [{"type": "ComparisonError", "message": "repo gone"}]}}),
            "cannot compare with Git: ComparisonError: repo gone",
        ),
    ],
)
def test_when_it_would_not_come_back_as_it_is_nothing_is_deleted(parent: dict[str, Any], sentence: str) -> None:
    assert any(sentence in said for said in unmet(planned(SLUG, scene(stack(), parent))))


@pytest.mark.parametrize(
    ("patch", "sentence"),
    [
        (RUNNING, "No operation is running"),
        ({"metadata": {"deletionTimestamp": "2025-11-23T13:00:00Z"}}, "not being deleted"),
        (
            {"metadata": {"finalizers": ["post-delete-finalizer.argocd.argoproj.io/cleanup"]}},
            "deletion hooks would run",
        ),
        ({"status": {"resources": []}}, "lists nothing for it"),
        ({"metadata": {"ownerReferences": [{"kind": "ApplicationSet", "name": "all"}]}}, "ApplicationSet all"),
    ],
)
def test_a_precondition_that_is_not_met_is_named(patch: dict[str, Any], sentence: str) -> None:
    assert any(sentence in said for said in unmet(planned(SLUG, scene(stack(patch), above()))))


def test_a_kind_that_could_not_be_listed_is_no_inventory() -> None:
    snap = scene(stack(), above())
    blind = {need: listing for need, listing in snap.listings.items() if need.resource != "services"}
    with pytest.raises(Missing):
        planned(SLUG, Snapshot(snap.cluster, snap.taken_at, blind, snap.replies))


def test_a_draft_of_its_own_parameters_is_the_same() -> None:
    first = planned(SLUG, scene(stack(), above()))
    assert planned(SLUG, scene(stack(), above()), **first.params) == first


# -- a deletion that was begun


GOING = {"metadata": {"deletionTimestamp": "2025-11-23T13:40:00Z", "finalizers": ["x.io/keep", FINALIZER]}}
RESCUE = "stop-cascading-deletion"


def test_a_deletion_that_was_begun_is_kept_to_the_application() -> None:
    doomed = thing("ConfigMap", GRAFANA, "cm-1", deletionTimestamp="2025-11-23T13:41:00Z")
    draft = planned(RESCUE, scene(stack(GOING), above(), configmaps=[doomed]))
    assert unmet(draft) == []
    assert [s.verb for s in draft.steps] == ["strip", "check", "wait", "compare", "check"]
    assert body(draft, 0)["metadata"]["finalizers"] == ["x.io/keep"]
    assert [g.name for g in draft.steps[0].guards] == ["argocd_cascading"]
    assert draft.blast.unchanged == (f"Service {GRAFANA}", f"Deployment {STACK}-operator")
    assert "1 object being deleted already cannot be stopped" in draft.blast.sentence
    assert draft.confirm == STACK and PASSWORD not in repr(draft)


def test_without_anybody_who_makes_it_again_it_is_stopped_all_the_same() -> None:
    draft = planned(RESCUE, scene(alone(GOING)))
    assert unmet(draft) == []
    assert [s.verb for s in draft.steps] == ["strip", "check"]
    assert "create it from Git, and it takes its objects over" in draft.blast.sentence


@pytest.mark.parametrize(
    ("patch", "sentence"),
    [
        ({}, "it is not being deleted"),
        ({"metadata": {**GOING["metadata"], "finalizers": ["x.io/keep"]}}, "it carries x.io/keep alone"),
        (
            {"metadata": {**GOING["metadata"], "finalizers": [FINALIZER, "pre-delete-finalizer.argocd.argoproj.io"]}},
            "its deletion hooks would run",
        ),
    ],
)
def test_what_is_no_cascading_deletion_is_not_stopped(patch: dict[str, Any], sentence: str) -> None:
    assert any(sentence in said for said in unmet(planned(RESCUE, scene(stack(patch), above()))))


def test_the_guard_of_stopping() -> None:
    assert look("argocd_cascading", seen(stack(GOING))).outlook == Outlook.MET
    free = {"metadata": {**GOING["metadata"], "finalizers": ["x.io/keep"]}}
    for app in (stack(), stack(free), above()):
        assert look("argocd_cascading", seen(app)).outlook == Outlook.REFUSED


# -- conditions


def test_a_deletion_that_would_cascade_is_refused_however_the_finalizer_is_called() -> None:
    for finalizer in (FINALIZER, f"{FINALIZER}/foreground", f"{FINALIZER}/background"):
        app = stack({"metadata": {"finalizers": ["x.io/keep", finalizer]}})
        assert look("argocd_not_cascading", seen(app)).outlook == Outlook.REFUSED
    free = {"metadata": {"finalizers": ["x.io/keep"]}}
    assert look("argocd_not_cascading", seen(stack(free))).outlook == Outlook.MET
    going = {"metadata": {"finalizers": None, "deletionTimestamp": "2025-11-23T13:00:00Z"}}
    assert look("argocd_not_cascading", seen(stack(going))).outlook == Outlook.REFUSED


def test_every_object_must_be_the_same_one_as_before() -> None:
    kept = planned(SLUG, scene(stack(), above())).steps[0].until
    assert kept is not None

    def judged(snap: Snapshot) -> Any:
        from deployments.catalogue import conditions

        return conditions.look(Condition(kept.name, kept.args), snap, {})

    assert judged(scene()).outlook == Outlook.MET
    for lost, word in (
        ([], "is gone"),
        ([thing("Service", GRAFANA, "svc-2")], "was created anew"),
        ([thing("Service", GRAFANA, "svc-1", deletionTimestamp="2025-11-23T13:00:00Z")], "is being deleted"),
    ):
        found = judged(scene(services=lost))
        assert found.outlook == Outlook.FAILED and word in found.sentence


def again(app: dict[str, Any], uid: str = "app-2") -> dict[str, Any]:
    made: dict[str, Any] = merged(app, {"metadata": {"uid": uid}})
    return made


def test_it_is_back_when_the_new_spec_says_what_the_old_one_said() -> None:
    args = {"uid": f"app-{STACK}", "fields": inventory.fields(stack()["spec"])}
    assert look("argocd_recreated", seen(stack()), **args).outlook == Outlook.NOT_YET
    assert look("argocd_recreated", seen(again(stack())), **args).outlook == Outlook.MET
    other = {"spec": {"destination": {"namespace": "elsewhere"}, "source": {"helm": {"releaseName": "other"}}}}
    found = look("argocd_recreated", seen(again(stack(other))), **args)
    assert found.outlook == Outlook.FAILED and "differs from the old one in destination, source" in found.sentence
    values = {"spec": {"source": {"helm": {"values": "grafana:\n  enabled: false\n"}}}}
    assert look("argocd_recreated", seen(again(stack(values))), **args).outlook == Outlook.FAILED


def test_digests_do_not_depend_on_a_credential() -> None:
    """Else whoever reads the plan could try passwords against them."""
    one = stack()["spec"]
    text = one["source"]["helm"]["values"].replace(PASSWORD, "another")
    assert inventory.fields(one) == inventory.fields(merged(one, {"source": {"helm": {"values": text}}}))


def test_gone_and_compared() -> None:
    uid = f"app-{STACK}"
    assert look("argocd_app_gone", seen(stack()), uid=uid).outlook == Outlook.NOT_YET
    assert look("argocd_app_gone", seen(again(stack())), uid=uid).outlook == Outlook.MET
    assert look("argocd_compared", seen(stack())).outlook == Outlook.MET
    assert look("argocd_compared", seen(above())).outlook == Outlook.NOT_YET
    fresh = stack({"status": {"sync": {"status": None}}})
    assert look("argocd_compared", seen(fresh)).outlook == Outlook.NOT_YET
    error = {"status": {"conditions": [{"type": "ComparisonError", "message": "x"}]}}
    assert look("argocd_compared", seen(stack(error))).outlook == Outlook.FAILED


def test_the_inventory_leaves_hooks_out_and_counts_secrets_as_not_listed() -> None:
    rows = [entry("Secret", GRAFANA), entry("Job", "migrate", group="batch", hook=True)]
    app = merged(stack(), {"status": {"resources": rows}})
    assert list(inventory.needs(seen(app).objects("applications.argoproj.io")[0])) == []
    found = inventory.taken(seen(app), seen(app).objects("applications.argoproj.io")[0])
    assert (len(found.live), len(found.missing), [r.kind for r in found.unread]) == (0, 0, ["Secret"])
