"""Who manages an object and who reverts a change of it: by tracking id, by label, through parents and sets."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.catalogue.argo import ownership, reading
from integrations.errors import NotFound
from integrations.kubernetes.parts import Meta
from monitoring import collect
from monitoring.snapshot import Missing, Objects, Snapshot, from_case
from tests.deployments.argo.world import APPS, NOW, STACK, child, decoded, merged, root, snapshot

GRAFANA = f"{STACK}-grafana"
WHERE = "platform-monitoring"


def meta(name: str = GRAFANA, namespace: str = WHERE, *, tracking: str | None = None, label: str = "") -> Meta:
    told = f"{STACK}:apps/Deployment:{WHERE}/{GRAFANA}" if tracking is None else tracking
    return Meta(
        name=name,
        namespace=namespace,
        annotations={"argocd.argoproj.io/tracking-id": told} if told else {},
        labels={"app.kubernetes.io/instance": label} if label else {},
    )


def app(**spec: Any) -> dict[str, Any]:
    made: dict[str, Any] = merged(child(), {"spec": spec})
    return made


def automated(**more: Any) -> dict[str, Any]:
    return {"syncPolicy": {"automated": {"selfHeal": None, "prune": None, **more}}}


IGNORES = {"ignoreDifferences": [{"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]}]}


def test_the_tracking_id_names_the_application_that_renders_it() -> None:
    seen = snapshot(child(), root())
    found = ownership.tracked(seen, meta())
    assert found is not None and found.app is not None
    assert (found.name, found.group, found.kind) == (STACK, "apps", "Deployment")
    assert ownership.locks(seen, meta()) == (ownership.ref_of(found.app),)


def test_a_tracking_id_copied_from_another_object_means_nothing() -> None:
    seen = snapshot(child(), root())
    replica_set = meta(name=f"{GRAFANA}-5d8f")
    assert ownership.owner_name(replica_set) == ""
    assert ownership.tracked(seen, replica_set) is None
    assert ownership.sentence(seen, replica_set) == ""
    assert ownership.owner_name(meta(namespace="elsewhere")) == ""


def test_a_cluster_scoped_object_is_tracked_under_the_destinations_namespace() -> None:
    role = meta(name="x", namespace="", tracking=f"{STACK}:rbac.authorization.k8s.io/ClusterRole:{WHERE}/x")
    assert ownership.owner_name(role) == STACK


def test_under_label_tracking_the_applications_own_list_decides() -> None:
    entry = {"group": "apps", "kind": "Deployment", "namespace": WHERE, "name": GRAFANA, "status": "Synced"}
    seen = snapshot(merged(child(), {"status": {"resources": [entry]}}))
    found = ownership.tracked(seen, meta(tracking="", label=STACK))
    assert found is not None and (found.name, found.kind) == (STACK, "Deployment")
    # a pod of the chart carries the same label
    assert ownership.tracked(seen, meta(name=f"{GRAFANA}-5d8f-x2kqv", tracking="", label=STACK)) is None
    assert ownership.tracked(seen, meta(tracking="", label="some-helm-release")) is None


def test_an_application_outside_argo_cds_namespace_is_called_with_its_namespace() -> None:
    theirs = merged(child(), {"metadata": {"namespace": "team-a"}})
    told = f"team-a_{STACK}:apps/Deployment:{WHERE}/{GRAFANA}"
    found = ownership.application(snapshot(child(), theirs), meta(tracking=told))
    assert found is not None and found.metadata.namespace == "team-a"
    assert ownership.application(snapshot(child()), meta(tracking=told)) is None


@pytest.mark.parametrize(
    ("spec", "paths", "reverted", "words"),
    [
        (automated(selfHeal=True), (), True, "selfHeal on: will be reverted"),
        (automated(), (), False, "selfHeal off: stays until the next sync"),
        ({"syncPolicy": {"automated": None}}, (), False, "selfHeal off: stays until somebody syncs"),
        (automated(selfHeal=True, enabled=False), (), False, "selfHeal off: stays until somebody syncs"),
        (automated(selfHeal=True) | IGNORES, ("/spec/replicas",), False, "told to ignore what changes"),
        (automated(selfHeal=True) | IGNORES, ("/spec/replicas", "/spec/template"), True, "will be reverted"),
        (automated(selfHeal=True) | IGNORES, ("/spec/replicasX",), True, "will be reverted"),
        (automated(selfHeal=True) | IGNORES, (), True, "will be reverted"),
    ],
)
def test_whether_a_change_is_reverted(spec: dict[str, Any], paths: tuple[str, ...], reverted: bool, words: str) -> None:
    seen = snapshot(app(**spec), root())
    assert ownership.reverts(seen, meta(), *paths) is reverted
    assert words in ownership.sentence(seen, meta(), *paths)


def test_ignored_by_an_expression_that_is_a_plain_path_only() -> None:
    for expression, reverted in ((".spec.replicas", False), (".spec.template.spec.containers[].image", True)):
        rule = {"group": "apps", "kind": "Deployment", "jqPathExpressions": [expression]}
        seen = snapshot(app(ignoreDifferences=[rule]))
        assert ownership.reverts(seen, meta(), "/spec/replicas") is reverted


def test_a_rule_for_another_object_does_not_count() -> None:
    rule = {"group": "apps", "kind": "Deployment", "name": "other", "jsonPointers": ["/spec/replicas"]}
    assert ownership.reverts(snapshot(app(ignoreDifferences=[rule])), meta(), "/spec/replicas")


def test_respect_ignore_differences_says_what_a_sync_does() -> None:
    options = {"syncPolicy": {"syncOptions": ["RespectIgnoreDifferences=true"]}}
    assert "a sync leaves it too" in ownership.sentence(snapshot(app(**IGNORES, **options)), meta(), "/spec/replicas")
    assert "until the next sync" in ownership.sentence(snapshot(app(**IGNORES)), meta(), "/spec/replicas")


def test_what_git_does_not_name_stays() -> None:
    assert "so it stays" in ownership.sentence(snapshot(child(), root()), meta(), named_in_git=False)


def test_the_way_out_names_the_application_that_can_be_paused() -> None:
    said = ownership.sentence(snapshot(child(), root()), meta())
    assert "a pause of auto-sync would be reverted by root-app" in said
    assert "pause auto-sync of root-app first" in said
    alone = child()
    del alone["metadata"]["annotations"]
    assert ownership.sentence(snapshot(alone), meta()).endswith("or pause auto-sync first.")


def test_an_application_that_is_gone_reverts_nothing() -> None:
    assert "nobody reverts it" in ownership.sentence(snapshot(root()), meta())
    assert not ownership.reverts(snapshot(root()), meta())


# -- Applications that others manage


def test_a_parent_that_heals_reverts_an_edit_unless_it_ignores_it() -> None:
    apps = snapshot(child(), root()).objects(APPS)
    mine = next(a for a in apps if a.metadata.name == STACK)
    assert ownership.reverted_by(mine, apps) == "root-app"
    rule = {"group": "argoproj.io", "kind": "Application", "jsonPointers": ["/spec/syncPolicy/automated"]}
    apps = snapshot(child(), merged(root(), {"spec": {"ignoreDifferences": [rule]}})).objects(APPS)
    assert ownership.reverted_by(mine, apps, "/spec/syncPolicy/automated") == ""
    assert ownership.reverted_by(mine, apps, "/spec/source") == "root-app"
    paused = merged(root(), {"spec": {"syncPolicy": {"automated": None}}})
    assert ownership.reverted_by(mine, snapshot(child(), paused).objects(APPS)) == ""


def test_an_application_set_reverts_and_cannot_be_paused() -> None:
    made = decoded(merged(child(), {"metadata": {"ownerReferences": [{"kind": "ApplicationSet", "name": "all"}]}}))
    assert ownership.reverted_by(made, [made]) == "ApplicationSet all"
    assert "template of ApplicationSet all" in ownership.pause_hint(made, [made])


def test_the_chain_of_parents_ends_even_when_it_is_a_ring() -> None:
    told = "kube-prometheus-stack:argoproj.io/Application:argocd/root-app"
    ring = merged(root(), {"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": told}}})
    apps = snapshot(child(), ring).objects(APPS)
    mine = next(a for a in apps if a.metadata.name == STACK)
    assert [p.metadata.name for p in ownership.parents(mine, apps)] == ["root-app"]
    assert ownership.pause_hint(mine, apps) == "Change it in Git."


def test_a_self_managed_application_is_its_own_parent_and_so_has_none() -> None:
    told = "root-app:argoproj.io/Application:argocd/root-app"
    own = decoded(merged(root(), {"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": told}}}))
    assert reading.parent_of(own, [own]) == ("", None)


def test_under_label_tracking_a_parent_is_one_that_lists_the_application() -> None:
    labelled = merged(
        child(), {"metadata": {"annotations": None, "labels": {"app.kubernetes.io/instance": "root-app"}}}
    )
    row = {"group": "argoproj.io", "kind": "Application", "namespace": "argocd", "name": STACK, "status": "Synced"}
    lists = merged(root(), {"status": {"resources": [row]}})
    mine = decoded(labelled)
    parents = [reading.parent_of(mine, snapshot(labelled, top).objects(APPS)) for top in (lists, root())]
    assert [name for name, _ in parents] == ["root-app", ""]
    chart = merged(labelled, {"metadata": {"labels": {"app.kubernetes.io/instance": "some-helm-release"}}})
    assert reading.parent_of(decoded(chart), snapshot(chart, lists).objects(APPS)) == ("", None)


# -- options and what was not read


def test_options_of_a_single_object() -> None:
    kept = Meta(annotations={ownership.OPTIONS: "Prune=false, Delete=false"})
    assert ownership.never_pruned(kept) and ownership.stays_on_delete(kept)
    assert ownership.stays_on_delete(Meta(annotations={"helm.sh/resource-policy": "keep"}))
    assert not ownership.never_pruned(Meta()) and not ownership.stays_on_delete(Meta())


def blind(sentence: str) -> Snapshot:
    return from_case({"taken_at": NOW, "errors": {APPS: sentence}})


def test_what_was_not_read_is_never_taken_for_unmanaged() -> None:
    for metadata in (meta(), meta(tracking="", label=STACK)):
        with pytest.raises(Missing):
            ownership.reverts(blind("The API server does not answer."), metadata)
    assert ownership.tracked(blind("The API server does not answer."), meta(tracking="")) is None


def test_a_cluster_without_argo_cd_renders_nothing() -> None:
    sentence = collect.sentence_of(Objects(APPS), NotFound("x", status=404))
    assert ownership.tracked(blind(sentence), meta(tracking="", label="some-helm-release")) is None
