"""Every action of the family: what it plans on a good day, and each thing that forbids it."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from deployments.catalogue import registry
from deployments.catalogue.action import MARK, CannotPlan, Create, Delete, Evict, Patch, PlanDraft
from deployments.catalogue.argo import credentials
from deployments.catalogue.workloads import family
from monitoring.snapshot import Listing, Missing, Need, Objects, Reply, Snapshot
from tests.deployments.argo import world
from tests.deployments.workloads.scene import NOW, Scene, unmet

#: parameters with which each action may run in the recorded cluster
GOOD: dict[str, dict[str, Any]] = {
    "rollout-restart": {"name": "web"},
    "restart-operator-managed": {"name": "main"},
    "rollback-deployment": {"name": "web"},
    "scale-workload": {"name": "web", "replicas": 3},
    "pause-rollout": {"name": "web"},
    "resume-rollout": {"name": "paused"},
    "drop-container": {"name": "web", "container": "sidecar"},
    "set-environment-variable": {"name": "web", "container": "web", "variable": "LOG_LEVEL", "value": "debug"},
    "set-image": {"name": "web", "container": "web", "image": "registry.example.org/web:4"},
    "set-resources": {"name": "web", "container": "web", "cpu_request": "200m", "memory_limit": "256Mi"},
    "set-recreate-strategy": {"name": "web"},
    "delete-pod": {"name": "web-3-aaaaa"},
    "evict-pod": {"name": "web-3-aaaaa"},
    "force-delete-pod": {"name": "db-0"},
    "recreate-job": {"name": "import"},
    "run-cronjob-now": {"name": "report"},
}
SLUGS = [action.slug for action in family.ACTIONS]


def good(slug: str, **more: Any) -> PlanDraft:
    return Scene().plan(slug, **{**GOOD[slug], **more})


def effects(draft: PlanDraft) -> list[Any]:
    return [step.effect for step in draft.steps if step.effect is not None]


# -- true of all


@pytest.mark.parametrize("slug", SLUGS)
def test_on_a_good_day_nothing_stands_against_it(slug: str) -> None:
    draft = good(slug)
    assert unmet(draft) == []
    assert all(p.evidence for p in draft.preconditions)
    assert effects(draft)
    assert draft.undo
    assert draft.blast.sentence


@pytest.mark.parametrize("slug", SLUGS)
def test_filled_parameters_draft_the_same_plan_again(slug: str) -> None:
    first = good(slug)
    assert Scene().plan(slug, **first.params) == first


@pytest.mark.parametrize("slug", SLUGS)
def test_the_order_of_lists_and_the_time_do_not_matter(slug: str) -> None:
    scene = Scene().later(3)
    for items in scene.case["objects"].values():
        items.reverse()
    assert scene.plan(slug, **GOOD[slug]).steps == good(slug).steps


@pytest.mark.parametrize("slug", SLUGS)
def test_it_asks_for_everything_it_reads(slug: str) -> None:
    """A snapshot cut down to what the action's needs name gives the same plan, within three rounds."""
    whole, action = Scene().snapshot, registry.get(slug)
    params = registry.parse(slug, {"namespace": "shop", **GOOD[slug]})
    seen = Snapshot(whole.cluster, whole.taken_at)
    for _ in range(3):
        seen = cut(whole, list(action.needs(seen, params)))
    assert action.plan(seen, params) == action.plan(whole, params)


def cut(whole: Snapshot, needs: list[Need]) -> Snapshot:
    listings = {need: whole.listings[Objects(need.resource)] for need in needs if isinstance(need, Objects)}
    replies = {need: whole.replies[need] for need in needs if need in whole.replies}
    return Snapshot(whole.cluster, whole.taken_at, listings, replies)


@pytest.mark.parametrize("slug", SLUGS)
def test_what_was_not_read_never_starts_it(slug: str) -> None:
    whole, action = Scene().snapshot, registry.get(slug)
    params = registry.parse(slug, {"namespace": "shop", **GOOD[slug]})
    for need in action.needs(whole, params):
        if "prometheus" in str(need):
            continue  # alerts are told, they decide nothing
        listings, replies = dict(whole.listings), dict(whole.replies)
        if isinstance(need, Objects):
            listings[Objects(need.resource)] = Listing(error="The API server does not answer.")
        else:
            replies[need] = Reply(status=0, error="The API server does not answer.")
        broken = Snapshot(whole.cluster, whole.taken_at, listings, replies)
        try:
            drafted = action.plan(broken, params)
        except Missing:
            continue
        # what this very plan does not depend on may be missing; it must not change anything either
        assert drafted == action.plan(whole, params), need


@pytest.mark.parametrize("slug", SLUGS)
def test_every_write_carries_the_mark_and_names_its_target(slug: str) -> None:
    for step in good(slug).steps:
        if isinstance(step.effect, Patch | Create):
            assert step.effect.body["metadata"]["annotations"][MARK] == "${run.mark}"
        assert (step.namespace, bool(step.name), bool(step.title)) == ("shop", True, True)
        assert step.until is not None


@pytest.mark.parametrize("slug", SLUGS)
def test_its_rules_cover_its_effects(slug: str) -> None:
    verbs = {Patch: "patch", Create: "create", Delete: "delete", Evict: "create"}
    action = registry.get(slug)
    for step in good(slug).steps:
        if step.effect is None:
            continue
        plural = step.resource.partition(".")[0] + ("/eviction" if isinstance(step.effect, Evict) else "")
        assert any(r.resource == plural and verbs[type(step.effect)] in r.verbs for r in action.rules), step


@pytest.mark.parametrize("slug", SLUGS)
def test_what_is_not_there_is_said_in_one_sentence(slug: str) -> None:
    with pytest.raises(CannotPlan, match=r"^There is no .* in namespace shop\.$"):
        Scene().plan(slug, **{**GOOD[slug], "name": "absent"})


@pytest.mark.parametrize("slug", SLUGS)
def test_it_is_documented(slug: str) -> None:
    action = registry.get(slug)
    assert action.guards and action.verified_by and action.reference.startswith("https://")
    assert action.family in ("Workloads", "Pods", "Jobs")


# -- Argo CD

#: what Argo CD's field manager owns when Git names the field that the action changes
NAMED: dict[str, dict[str, Any]] = {
    "rollback-deployment": {"f:spec": {"f:template": {}}},
    "scale-workload": {"f:spec": {"f:replicas": {}}},
    "pause-rollout": {"f:spec": {"f:paused": {}}},
    "drop-container": {"f:spec": {"f:template": {"f:spec": {"f:containers": {'k:{"name":"sidecar"}': {}}}}}},
    "set-environment-variable": {
        "f:spec": {"f:template": {"f:spec": {"f:containers": {
            'k:{"name":"web"}': {"f:env": {'k:{"name":"LOG_LEVEL"}': {"f:value": {}}}}}}}}
    },
    "set-image": {"f:spec": {"f:template": {"f:spec": {"f:containers": {'k:{"name":"web"}': {"f:image": {}}}}}}},
    "set-resources": {
        "f:spec": {"f:template": {"f:spec": {"f:containers": {'k:{"name":"web"}': {"f:resources": {"f:limits": {}}}}}}}
    },
    "set-recreate-strategy": {"f:spec": {"f:strategy": {"f:type": {}}}},
}  # fmt: skip


def tracked(slug: str, app: str, fields: dict[str, Any] | None) -> PlanDraft:
    scene = Scene()
    scene.tracked("deployments.apps", "web", app)
    if fields is not None:
        entry = {"manager": "argocd-controller", "operation": "Apply", "fieldsV1": fields}
        scene.raw("deployments.apps", "web")["metadata"]["managedFields"] = [entry]
    return scene.plan(slug, **GOOD[slug])


@pytest.mark.parametrize("slug", NAMED)
def test_what_git_names_is_not_changed_behind_self_heal(slug: str) -> None:
    draft = tracked(slug, "shop", NAMED[slug])
    assert [u for u in unmet(draft) if "Argo CD does not set it back" in u]
    assert "will be reverted" in draft.managed_by
    assert draft.git_way.startswith("Through Git first: in deploy of https://git.example.org/shop.git, ")
    assert [ref.name for ref in draft.locks] == ["shop"]


@pytest.mark.parametrize("slug", NAMED)
def test_what_git_does_not_name_stays(slug: str) -> None:
    draft = tracked(slug, "shop", {"f:metadata": {}})
    assert unmet(draft) == []
    assert "so it stays" in draft.managed_by


@pytest.mark.parametrize("slug", NAMED)
def test_without_self_heal_it_stays_until_the_next_sync(slug: str) -> None:
    draft = tracked(slug, "batch", NAMED[slug])
    assert unmet(draft) == []
    assert "stays until somebody syncs" in draft.managed_by


def test_a_client_side_apply_is_read_too() -> None:
    scene = Scene()
    scene.tracked("deployments.apps", "web", "shop")
    applied = json.dumps({"spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "web"}]}}}})
    notes = scene.raw("deployments.apps", "web")["metadata"]["annotations"]
    notes["kubectl.kubernetes.io/last-applied-configuration"] = applied
    assert any("Git names spec.replicas" in u for u in unmet(scene.plan("scale-workload", name="web", replicas=3)))
    assert unmet(scene.plan("drop-container", name="web", container="sidecar")) == []
    assert any("Git names" in u for u in unmet(scene.plan("drop-container", name="web", container="web")))


def test_applications_that_were_not_read_stop_a_plan_for_what_one_renders() -> None:
    scene = Scene()
    scene.tracked("deployments.apps", "web", "shop")
    del scene.case["objects"]["applications.argoproj.io"]
    with pytest.raises(Missing):
        scene.plan("scale-workload", name="web", replicas=3)


def test_a_restart_is_not_reverted_by_argo_cd() -> None:
    draft = tracked("rollout-restart", "shop", {"f:spec": {"f:template": {}}})
    assert unmet(draft) == []
    assert "so it stays" in draft.managed_by


@pytest.mark.parametrize(
    ("slug", "params", "said", "line"),
    [
        ("drop-container", {"container": "init-chown-data"}, "set grafana.initChownData.enabled: false",
         "+            enabled: false"),
        ("scale-workload", {"replicas": 2}, "set grafana.replicas: 2", "+          replicas: 2"),
        ("set-recreate-strategy", {}, 'set grafana.deploymentStrategy.type: "Recreate"',
         "+            type: Recreate"),
        ("set-environment-variable", {"container": "grafana", "variable": "GF_LOG_LEVEL", "value": "debug"},
         "set grafana.env.GF_LOG_LEVEL: \"debug\"", "+            GF_LOG_LEVEL: debug"),
        ("set-environment-variable",
         {"container": "grafana", "variable": "GF_X", "secret_name": "grafana-x", "secret_key": "x"},
         "grafana.envValueFrom.GF_X", "secretKeyRef"),
        ("set-image", {"container": "grafana", "image": "registry.example.org/web:3.1"},
         'set grafana.image.tag: "3.1"', "+            tag: "),
        ("set-resources", {"container": "grafana", "memory_limit": "2Gi"},
         'grafana.resources.limits.memory: "2Gi"', "+              memory: "),
    ],
)  # fmt: skip
def test_for_grafana_the_chart_value_comes_first_as_a_patch(
    slug: str, params: dict[str, Any], said: str, line: str
) -> None:
    scene = Scene()
    scene.tracked("deployments.apps", "web", "kube-prometheus-stack")
    scene.case["objects"]["applications.argoproj.io"] += [world.root(), world.child()]
    for item in (scene.get("deployments.apps", "web"), scene.raw("deployments.apps", "web")):
        item["metadata"]["labels"] = {"app.kubernetes.io/name": "grafana"}
        first, second = item["spec"]["template"]["spec"]["containers"]
        first["name"], second["name"] = "grafana", "init-chown-data"
    draft = scene.plan(slug, name="web", **params)
    assert said in draft.git_way
    assert line in draft.git_patch
    assert world.PASSWORD not in draft.git_patch


def test_of_another_chart_only_the_field_is_known() -> None:
    scene = Scene()
    scene.tracked("deployments.apps", "web", "shop")
    source = {"repoURL": "https://charts.example.org", "chart": "shop", "targetRevision": "1.0.0"}
    scene.get("applications.argoproj.io", "shop")["spec"]["source"] = source
    draft = scene.plan("scale-workload", name="web", replicas=3)
    assert "set the value of chart shop 1.0.0 that renders it: set spec.replicas" in draft.git_way
    assert draft.git_patch == ""


def test_what_the_application_ignores_may_be_changed() -> None:
    scene = Scene()
    scene.tracked("deployments.apps", "web", "shop")
    rule = {"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"]}
    scene.get("applications.argoproj.io", "shop")["spec"]["ignoreDifferences"] = [rule]
    entry = {"manager": "argocd-controller", "operation": "Apply", "fieldsV1": {"f:spec": {"f:replicas": {}}}}
    scene.raw("deployments.apps", "web")["metadata"]["managedFields"] = [entry]
    draft = scene.plan("scale-workload", name="web", replicas=3)
    assert unmet(draft) == []
    assert "told to ignore" in draft.managed_by


# -- what an operator makes, see the facts page, K28


@pytest.mark.parametrize(
    ("slug", "params", "instead"),
    [
        ("rollout-restart", {}, "spec.podMetadata.annotations"),
        ("scale-workload", {"replicas": 2}, "spec.replicas"),
        ("scale-workload", {"replicas": 0}, "spec.replicas"),
    ],
)
def test_an_operators_stateful_set_is_refused_with_what_to_change_instead(
    slug: str, params: dict[str, Any], instead: str
) -> None:
    scene = Scene()
    scene.case["raws"]["statefulsets.apps shop/prometheus-main"] = scene.get("statefulsets.apps", "prometheus-main")
    found = unmet(scene.plan(slug, name="prometheus-main", kind="StatefulSet", **params))
    assert [u for u in found if f"change {instead} of Prometheus main instead" in u]


def test_its_restart_is_asked_of_the_operator() -> None:
    draft = good("restart-operator-managed")
    asked = effects(draft)[0].body["spec"]["podMetadata"]["annotations"]
    assert asked["portal.remediation/restart"] == "${run.mark}"
    assert draft.steps[0].resource == "prometheuses.monitoring.coreos.com"
    assert [c.params["name"] for c in draft.verification.checks] == ["prometheus-main"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda s: s.raw("prometheuses.monitoring.coreos.com", "main")["spec"].update(paused=True),
            "spec.paused: true",
        ),
        (lambda s: s.drop("statefulsets.apps", "prometheus-main"), "no StatefulSet belongs to it"),
    ],
)
def test_an_operator_that_would_do_nothing_is_not_asked(change: Callable[[Scene], Any], said: str) -> None:
    scene = Scene()
    change(scene)
    assert [u for u in unmet(scene.plan("restart-operator-managed", name="main")) if said in u]


@pytest.mark.parametrize(
    ("mark", "status", "outlook"),
    [
        (None, {}, "not_yet"),  # the old template is rolled out, which says nothing
        ("R.1", {}, "met"),
        ("R.1", {"readyReplicas": 0}, "not_yet"),
        ("R.0", {}, "not_yet"),
    ],
)
def test_the_wait_knows_the_new_template_by_its_mark(mark: str | None, status: dict[str, Any], outlook: str) -> None:
    scene = Scene()
    item = scene.get("statefulsets.apps", "prometheus-main")
    item["status"] |= status
    if mark is not None:
        item["spec"]["template"]["metadata"]["annotations"] = {"portal.remediation/restart": mark}
    assert scene.look("operated_rolled_out", name="main", owner_uid="prom-1", mark="R.1").outlook == outlook


# -- restart


def test_all_three_kinds_are_restarted_the_same_way() -> None:
    for kind, name in (("Deployment", "web"), ("StatefulSet", "db"), ("DaemonSet", "agent")):
        draft = Scene().plan("rollout-restart", kind=kind, name=name)
        assert unmet(draft) == []
        patch = effects(draft)[0]
        notes = patch.body["spec"]["template"]["metadata"]["annotations"]
        assert notes == {"kubectl.kubernetes.io/restartedAt": "${run.time}"}
        assert draft.steps[0].until.args["kind"] == kind  # type: ignore[union-attr]
        assert draft.verification.checks[0].params["kind"] == kind


@pytest.mark.parametrize(
    ("kind", "name", "change", "said"),
    [
        ("Deployment", "web", {"paused": True}, "resume it first"),
        ("Deployment", "web", {"replicas": 0}, "It wants at least one pod"),
        ("StatefulSet", "db", {"updateStrategy": {"type": "OnDelete"}}, "OnDelete"),
        ("StatefulSet", "db", {"updateStrategy": {"rollingUpdate": {"partition": 1}}}, "partition 1"),
        ("DaemonSet", "agent", {"updateStrategy": {"type": "OnDelete"}}, "OnDelete"),
    ],
)
def test_a_restart_that_would_do_nothing_is_refused(kind: str, name: str, change: dict[str, Any], said: str) -> None:
    scene = Scene()
    resource = {"Deployment": "deployments.apps", "StatefulSet": "statefulsets.apps", "DaemonSet": "daemonsets.apps"}
    scene.get(resource[kind], name)["spec"] |= change
    assert [u for u in unmet(scene.plan("rollout-restart", kind=kind, name=name)) if said in u]


@pytest.mark.parametrize(
    ("replicas", "strategy", "down"),
    [
        (2, {"type": "RollingUpdate"}, 0),
        (4, {"type": "RollingUpdate"}, 1),
        (2, {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}}, 1),
        (3, {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "100%", "maxSurge": 0}}, 3),
        (2, {"type": "Recreate"}, 2),
    ],
)
def test_it_counts_how_many_pods_are_away_at_once(replicas: int, strategy: dict[str, Any], down: int) -> None:
    scene = Scene()
    scene.get("deployments.apps", "web")["spec"] |= {"replicas": replicas, "strategy": strategy}
    blast = scene.plan("rollout-restart", name="web").blast
    if strategy["type"] == "RollingUpdate":
        assert f"at most {down} away at once" in blast.sentence
    else:
        assert "all end before the first new one starts" in blast.sentence
    assert bool(blast.endpoints) is (down >= 2)


def test_a_restart_shows_budgets_claims_and_lost_endpoints() -> None:
    blast = Scene().plan("rollout-restart", name="lonely").blast
    assert blast.restarted == ("Pod lonely-1-ccccc",)
    assert blast.claims == ("PersistentVolumeClaim lonely-data",)
    assert blast.endpoints == ("Service lonely (1 ready pod)",)
    assert "allows 1 disruption now" in Scene().plan("rollout-restart", name="web").blast.budgets[0]


@pytest.mark.parametrize(
    ("slug", "params", "field", "left"),
    [
        ("rollout-restart", {}, "restarted", ("Pod web-3-bbbbb",)),
        ("set-image", {"container": "web", "image": "shop/web:9"}, "restarted", ("Pod web-3-bbbbb",)),
        ("scale-workload", {"replicas": 0}, "deleted", ("Pod web-3-bbbbb",)),
        ("delete-pod", {"name": "web-3-aaaaa"}, "restarted", ()),
        ("force-delete-pod", {"name": "web-3-aaaaa"}, "restarted", ()),
        ("evict-pod", {"name": "web-3-aaaaa"}, "restarted", ()),
    ],
)
def test_a_pod_that_is_ending_already_is_not_counted(
    slug: str, params: dict[str, Any], field: str, left: tuple[str, ...]
) -> None:
    scene = Scene()
    going(timedelta(minutes=1), "web-3-aaaaa")(scene)
    blast = scene.plan(slug, **{"name": "web", **params}).blast
    assert getattr(blast, field) == left
    ended = {"Pod web-3-aaaaa"} & {*blast.restarted, *blast.deleted}
    assert bool(ended) is ("name" in params), "of a pod that was named, only its object goes"
    if "name" in params:
        assert blast.endpoints == ()


@pytest.mark.parametrize(
    ("slug", "params"),
    [
        ("set-image", {"container": "web", "image": "shop/web:9"}),
        ("set-environment-variable", {"container": "web", "variable": "A", "value": "1"}),
        ("rollback-deployment", {}),
        ("drop-container", {"container": "sidecar"}),
    ],
)
def test_of_a_deployment_that_wants_no_pods_nothing_is_verified(slug: str, params: dict[str, Any]) -> None:
    """No check would ever call it ready: the run failed, and undid what it had done."""
    scene = Scene()
    for item in (scene.get("deployments.apps", "web"), scene.raw("deployments.apps", "web")):
        item["spec"]["replicas"] = 0
    draft = scene.plan(slug, name="web", **params)
    assert draft.verification.checks == ()
    assert "It wants no pods now: nothing is replaced" in draft.blast.sentence
    assert "run fails" not in draft.blast.sentence
    assert good(slug).verification.checks


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("db", "Deployment", "There is no Deployment db in namespace shop. There is a StatefulSet db there."),
        ("web", "StatefulSet", "There is no StatefulSet web in namespace shop. There is a Deployment web there."),
        ("nothing", "Deployment", "There is no Deployment nothing in namespace shop."),
    ],
)
def test_a_name_that_is_elsewhere_is_said_to_be_there(name: str, kind: str, said: str) -> None:
    with pytest.raises(CannotPlan) as caught:
        Scene().plan("rollout-restart", name=name, kind=kind)
    assert str(caught.value) == said


def test_a_name_in_another_namespace_is_said_to_be_there_and_looked_for_only_when_it_is_missing() -> None:
    action = registry.get("set-image")
    asked = {"name": "web", "container": "web", "image": "shop/web:9"}
    here, there = (registry.parse("set-image", {"namespace": space, **asked}) for space in ("shop", "other"))
    snapshot = Scene().snapshot
    assert Objects("statefulsets.apps") not in action.needs(snapshot, here)
    assert Objects("statefulsets.apps") in action.needs(snapshot, there)
    with pytest.raises(CannotPlan, match=r"no Deployment web in namespace other\. There is one in namespace shop\.$"):
        action.plan(snapshot, there)


def test_a_stateful_pod_that_is_ending_holds_no_rollout() -> None:
    scene = Scene()
    going(timedelta(minutes=1), "db-0")(scene)
    blast = scene.plan("rollout-restart", name="db", kind="StatefulSet").blast
    assert blast.restarted == ()
    assert "delete that pod too" not in blast.sentence


def test_a_pod_that_holds_a_stateful_rollout_is_named() -> None:
    scene = Scene()
    scene.get("pods", "db-0")["status"]["conditions"][0]["status"] = "False"
    blast = scene.plan("rollout-restart", name="db", kind="StatefulSet").blast
    assert "Pod db-0 is not ready and may hold the rollout" in blast.sentence


# -- rollback


def template(draft: PlanDraft) -> dict[str, Any]:
    found: dict[str, Any] = effects(draft)[0].body["spec"]["template"]
    return found


def test_by_default_it_goes_one_revision_back() -> None:
    draft = good("rollback-deployment")
    assert draft.params["revision"] == 2
    assert template(draft)["$patch"] == "replace"
    assert template(draft)["spec"]["containers"][0]["image"] == "registry.example.org/web:2"
    assert template(draft)["metadata"]["labels"] == {"app": "web"}
    assert "web: registry.example.org/web:3 → registry.example.org/web:2" in draft.blast.sentence


def test_an_older_revision_can_be_named() -> None:
    assert template(good("rollback-deployment", revision=1))["spec"]["containers"][0]["image"].endswith("web:1")


@pytest.mark.parametrize(
    ("params", "prepare", "said"),
    [
        ({"revision": 9}, lambda s: None, r"keeps no revision 9. It keeps 1, 2 and 3"),
        ({}, lambda s: [s.drop("replicasets.apps", n) for n in ("web-1", "web-2")], "keeps no older revision"),
        (
            {},
            lambda s: s.raw("replicasets.apps", "web-2")["spec"]["template"]["spec"].update(x="${run.secret}"),
            "holds",
        ),
    ],
)
def test_a_revision_that_cannot_be_put_back_gives_a_sentence(
    params: dict[str, Any], prepare: Callable[[Scene], Any], said: str
) -> None:
    scene = Scene()
    prepare(scene)
    with pytest.raises(CannotPlan, match=said):
        scene.plan("rollback-deployment", name="web", **params)


def test_the_template_in_force_is_no_rollback() -> None:
    scene = Scene()
    same = scene.raw("deployments.apps", "web")["spec"]["template"]
    scene.raw("replicasets.apps", "web-2")["spec"]["template"] = {
        **same,
        "metadata": {**same["metadata"], "creationTimestamp": None, "labels": {"app": "web", "pod-template-hash": "2"}},
    }
    assert any("is the template in force" in u for u in unmet(scene.plan("rollback-deployment", name="web")))


def test_a_paused_deployment_is_not_rolled_back() -> None:
    scene = Scene()
    scene.get("deployments.apps", "web")["spec"]["paused"] = True
    assert any("resume it first" in u for u in unmet(scene.plan("rollback-deployment", name="web")))


@pytest.mark.parametrize(
    "where",
    [
        {"env": [{"name": "DB_PASSWORD", "value": "canary-hunter2"}]},
        {"args": ["--password=canary-hunter2"]},
        {"env": [{"name": "DB", "value": "postgres://shop:canary-hunter2@db/shop"}]},
        {"livenessProbe": {"httpGet": {"httpHeaders": [{"name": "Authorization", "value": "canary-hunter2"}]}}},
    ],
)
def test_a_literal_credential_never_gets_into_a_plan(where: dict[str, Any]) -> None:
    scene = Scene()
    scene.raw("replicasets.apps", "web-2")["spec"]["template"]["spec"]["containers"][0] |= where
    # not even into one whose preconditions are not met: that is stored and shown too
    with pytest.raises(CannotPlan, match="kubectl -n shop rollout undo deployment/web --to-revision=2") as refused:
        scene.plan("rollback-deployment", name="web")
    assert "canary-hunter2" not in str(refused.value)


def test_a_credential_that_the_deployment_still_holds_is_only_referred_to() -> None:
    scene = Scene()
    for resource, name in (("replicasets.apps", "web-2"), ("deployments.apps", "web")):
        containers = scene.raw(resource, name)["spec"]["template"]["spec"]["containers"]
        containers[0]["env"].append({"name": "DB_PASSWORD", "value": "canary-hunter2"})
    draft = scene.plan("rollback-deployment", name="web")
    assert unmet(draft) == []
    assert template(draft)["spec"]["containers"][0]["env"][-1] == {
        "name": "DB_PASSWORD",
        "value": "${live:/spec/template/spec/containers/0/env/2/value}",
    }
    assert "canary-hunter2" not in str(msgspec.to_builtins(draft))
    sent = credentials.restore(effects(draft)[0].body, scene.raw("deployments.apps", "web"))
    assert sent["spec"]["template"]["spec"]["containers"][0]["env"][-1]["value"] == "canary-hunter2"


# -- scale and stop


def test_an_autoscaler_decides_the_number() -> None:
    scene = Scene()
    scene.case["raws"]["deployments.apps shop/lonely"] = scene.get("deployments.apps", "lonely")
    for replicas in (3, 0):
        found = unmet(scene.plan("scale-workload", name="lonely", replicas=replicas))
        assert [u for u in found if "HorizontalPodAutoscaler lonely keeps 1 to 4 replicas" in u]


def test_the_number_it_has_is_no_change() -> None:
    assert any("already" in u for u in unmet(good("scale-workload", replicas=2)))


def test_no_replicas_at_all_is_another_tier_with_its_own_evidence() -> None:
    draft = good("scale-workload", replicas=0)
    assert effects(draft)[0].body["spec"] == {"replicas": 0}
    assert (draft.tier, good("scale-workload").tier, registry.get("scale-workload").tier) == (2, None, 1)
    # the check workload_ready would read failing: the wait for the last pod is the evidence
    assert (draft.verification.checks, len(good("scale-workload").verification.checks)) == ((), 1)


def test_stopping_names_everything_that_is_lost() -> None:
    scene = Scene()
    scene.drop("horizontalpodautoscalers.autoscaling", "lonely")
    scene.case["raws"]["deployments.apps shop/lonely"] = scene.get("deployments.apps", "lonely")
    blast = scene.plan("scale-workload", name="lonely", replicas=0).blast
    assert blast.deleted == ("Pod lonely-1-ccccc",)
    assert blast.endpoints == ("Service lonely (1 ready pod)",)
    assert blast.alerts == ("Alert LonelyDown (its rule names job lonely, fires after 5 min)",)
    assert blast.claims == ("PersistentVolumeClaim lonely-data",)


def test_rules_that_were_not_read_are_said_to_be_unknown() -> None:
    scene = Scene()
    del scene.case["fetches"]
    assert "Not known" in scene.plan("scale-workload", name="web", replicas=0).blast.alerts[0]


def test_a_stateful_set_gives_up_its_highest_ordinals() -> None:
    scene = Scene()
    item = scene.get("statefulsets.apps", "db")
    item["spec"]["replicas"] = 2
    second = msgspec.json.decode(msgspec.json.encode(scene.get("pods", "db-0")))
    second["metadata"] |= {"name": "db-1", "uid": "pod-db-1"}
    scene.add("pods", second)
    scene.case["raws"]["statefulsets.apps shop/db"] = item
    draft = scene.plan("scale-workload", name="db", kind="StatefulSet", replicas=1)
    assert (unmet(draft), draft.blast.deleted) == ([], ("Pod db-1",))
    item["spec"]["persistentVolumeClaimRetentionPolicy"] = {"whenScaled": "Delete"}
    found = unmet(scene.plan("scale-workload", name="db", kind="StatefulSet", replicas=1))
    assert any("claims of the pods that end are kept" in u for u in found)


@pytest.mark.parametrize(
    ("spec", "status", "outlook"),
    [
        (2, {}, "met"),
        (2, {"readyReplicas": 1}, "not_yet"),
        (2, {"replicas": 3}, "not_yet"),
        (2, {"observedGeneration": 6}, "not_yet"),
        (5, {}, "failed"),
    ],
)
def test_scaling_is_done_when_so_many_are_there_and_ready(spec: int, status: dict[str, Any], outlook: str) -> None:
    scene = Scene()
    item = scene.get("deployments.apps", "web")
    item["spec"]["replicas"] = spec
    item["status"] |= status
    assert scene.look("workload_scaled", kind="Deployment", name="web", replicas=2).outlook == outlook


def test_stopping_is_done_when_the_last_pod_is_gone() -> None:
    scene = Scene()
    item = scene.get("deployments.apps", "web")
    item["spec"]["replicas"], item["status"] = 0, {"observedGeneration": 7}
    seen = scene.look("workload_scaled", kind="Deployment", name="web", replicas=0)
    assert (seen.outlook, "2 pods still ending" in seen.sentence) == ("not_yet", True)
    scene.drop("pods", "web-3-aaaaa")
    scene.drop("pods", "web-3-bbbbb")
    assert scene.look("workload_scaled", kind="Deployment", name="web", replicas=0).outlook == "met"


# -- pause, resume, strategy


def test_pausing_and_resuming_are_each_others_guard() -> None:
    assert any("It is not resumed already" in u for u in unmet(Scene().plan("resume-rollout", name="web")))
    assert any("It is not paused already" in u for u in unmet(Scene().plan("pause-rollout", name="paused")))


def test_resuming_waits_for_what_was_held_back() -> None:
    draft = good("resume-rollout")
    assert [s.verb for s in draft.steps] == ["resume", "wait"]
    assert effects(draft)[0].body["spec"] == {"paused": False}


def test_recreate_takes_the_rest_of_the_old_strategy_away() -> None:
    draft = good("set-recreate-strategy")
    assert effects(draft)[0].body["spec"] == {"strategy": {"type": "Recreate", "rollingUpdate": None}}
    scene = Scene()
    scene.case["raws"]["deployments.apps shop/lonely"] = scene.get("deployments.apps", "lonely")
    assert any("not Recreate already" in u for u in unmet(scene.plan("set-recreate-strategy", name="lonely")))


# -- containers and variables


def test_dropping_names_one_container_and_nothing_of_the_others() -> None:
    body = effects(good("drop-container"))[0].body
    assert body["spec"]["template"]["spec"] == {"containers": [{"name": "sidecar", "$patch": "delete"}]}


def test_an_init_container_is_dropped_from_its_own_list() -> None:
    scene = Scene()
    scene.raw("deployments.apps", "web")["spec"]["template"]["spec"]["initContainers"] = [
        {"name": "init", "image": "x"}
    ]
    draft = scene.plan("drop-container", name="web", container="init")
    assert list(effects(draft)[0].body["spec"]["template"]["spec"]) == ["initContainers"]


def test_a_container_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(CannotPlan, match=r"It has web and sidecar\."):
        Scene().plan("drop-container", name="web", container="ghost")


def test_the_only_container_and_one_that_a_service_needs_are_kept() -> None:
    scene = Scene()
    found = unmet(scene.plan("drop-container", name="web", container="web"))
    assert [u for u in found if "web:80 leads to its ports" in u]
    del scene.raw("deployments.apps", "web")["spec"]["template"]["spec"]["containers"][1]
    assert [u for u in unmet(scene.plan("drop-container", name="web", container="web")) if "Another container" in u]


def env(draft: PlanDraft) -> dict[str, Any]:
    found: dict[str, Any] = effects(draft)[0].body["spec"]["template"]["spec"]["containers"][0]["env"][0]
    return found


def test_a_variable_is_set_changed_and_removed() -> None:
    slug = "set-environment-variable"
    assert env(good(slug)) == {"name": "LOG_LEVEL", "value": "debug"}
    secret = {"value": "", "secret_name": "web-log", "secret_key": "level"}
    assert env(good(slug, **secret)) == {
        "name": "LOG_LEVEL",
        "valueFrom": {"secretKeyRef": {"name": "web-log", "key": "level"}},
        "value": None,
    }
    assert "may not read Secrets" in good(slug, **secret).blast.sentence
    assert env(good(slug, operation="remove", value="")) == {"name": "LOG_LEVEL", "$patch": "delete"}
    assert env(good(slug, variable="NEW")) == {"name": "NEW", "value": "debug"}


def test_what_another_source_left_is_taken_away() -> None:
    scene = Scene()
    container = scene.raw("deployments.apps", "web")["spec"]["template"]["spec"]["containers"][0]
    container["env"][0] = {"name": "LOG_LEVEL", "valueFrom": {"configMapKeyRef": {"name": "web", "key": "level"}}}
    params = {**GOOD["set-environment-variable"]}
    assert env(scene.plan("set-environment-variable", **params))["valueFrom"] is None
    params |= {"value": "", "secret_name": "web-log", "secret_key": "level"}
    assert env(scene.plan("set-environment-variable", **params))["valueFrom"]["$patch"] == "replace"


@pytest.mark.parametrize(
    ("change", "said"),
    [({"value": "info"}, "is not so already"), ({"variable": "GHOST", "operation": "remove", "value": ""}, "is there")],
)
def test_a_variable_that_is_so_already_is_no_change(change: dict[str, Any], said: str) -> None:
    assert [u for u in unmet(good("set-environment-variable", **change)) if said in u]


@pytest.mark.parametrize(
    "params",
    [
        {"variable": "DB_PASSWORD", "value": "canary-hunter2"},
        {"variable": "DB", "value": "postgres://shop:canary-hunter2@db/shop"},
        {"variable": "HEADER", "value": "Bearer canary-hunter2-canary"},
        {"variable": "X", "value": "debug", "secret_name": "a", "secret_key": "b"},
        {"variable": "X", "secret_name": "a"},
        {"variable": "X"},
        {"variable": "X", "operation": "remove", "value": "debug"},
        {"variable": "X", "value": "${run.user}"},
        {"variable": "no spaces", "value": "x"},
    ],
)
def test_parameters_that_make_no_sense_or_hold_a_credential_are_refused(params: dict[str, Any]) -> None:
    given = {"namespace": "shop", "name": "web", "container": "web", **params}
    with pytest.raises(ValueError) as refused:
        registry.parse("set-environment-variable", given)
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize("name", ["TOKEN_FILE", "SECRET_NAME", "OAUTH_TOKEN_URL", "LOG_LEVEL", "PASSWORD_TTL"])
def test_a_variable_about_a_credential_may_be_set(name: str) -> None:
    given = {"namespace": "shop", "name": "web", "container": "web", "variable": name, "value": "/run/x"}
    assert registry.parse("set-environment-variable", given).variable == name  # type: ignore[attr-defined]


def test_a_variable_that_is_set_twice_is_not_guessed_at() -> None:
    scene = Scene()
    container = scene.raw("deployments.apps", "web")["spec"]["template"]["spec"]["containers"][0]
    container["env"].append({"name": "LOG_LEVEL", "value": "again"})
    with pytest.raises(CannotPlan, match="sets LOG_LEVEL 2 times"):
        scene.plan("set-environment-variable", **GOOD["set-environment-variable"])


# -- pods


@pytest.mark.parametrize("slug", ["delete-pod", "evict-pod"])
@pytest.mark.parametrize(
    ("name", "said"), [("by-hand", "no controlling owner"), ("etcd-master01", "mirrors a static pod")]
)
def test_a_pod_that_would_not_come_back_is_kept(slug: str, name: str, said: str) -> None:
    assert [u for u in unmet(Scene().plan(slug, name=name)) if said in u]


@pytest.mark.parametrize("slug", ["delete-pod", "evict-pod"])
def test_a_pod_that_is_going_is_not_deleted_again(slug: str) -> None:
    scene = Scene()
    scene.get("pods", "web-3-aaaaa")["metadata"]["deletionTimestamp"] = NOW
    assert [u for u in unmet(scene.plan(slug, name="web-3-aaaaa")) if "delete it by force" in u]


def test_that_it_is_the_last_ready_pod_is_said() -> None:
    blast = Scene().plan("delete-pod", name="lonely-1-ccccc").blast
    assert "It is the last ready pod of ReplicaSet lonely-1" in blast.sentence
    assert blast.endpoints == ("Service lonely (1 ready pod)",)
    assert "1 other ready pod of ReplicaSet web-3 stays" in good("delete-pod").blast.sentence


def test_a_jobs_pod_need_not_come_back() -> None:
    scene = Scene()
    owner = {"kind": "Job", "name": "import", "uid": "job-import", "controller": True}
    scene.get("pods", "by-hand")["metadata"]["ownerReferences"] = [owner]
    step = scene.plan("delete-pod", name="by-hand").steps[0]
    assert step.until is not None and step.until.name == "pod_gone"
    assert good("delete-pod").steps[0].until.name == "pod_replaced"  # type: ignore[union-attr]


def test_an_eviction_shows_what_the_budget_allows_now() -> None:
    scene = Scene()
    said = next(p for p in good("evict-pod").preconditions if "budget" in p.sentence)
    assert "allows 1 disruption now" in said.evidence
    scene.get("poddisruptionbudgets.policy", "web")["status"]["disruptionsAllowed"] = 0
    draft = scene.plan("evict-pod", name="web-3-aaaaa")
    assert unmet(draft) == []
    assert "asks again for up to 300 s" in draft.blast.sentence


def test_a_pod_under_two_budgets_cannot_be_evicted() -> None:
    scene = Scene()
    scene.get("poddisruptionbudgets.policy", "none")["spec"] = {"selector": {}}
    assert [u for u in unmet(scene.plan("evict-pod", name="web-3-aaaaa")) if "none and web" in u]


# -- force


def force(name: str, change: Callable[[Scene], Any] = lambda s: None) -> PlanDraft:
    scene = Scene()
    change(scene)
    return scene.plan("force-delete-pod", name=name)


def test_forcing_is_typed_graceless_and_looked_at_again() -> None:
    draft = good("force-delete-pod")
    assert draft.confirm == "db-0"
    assert registry.get("force-delete-pod").tier == 3
    assert effects(draft) == [Delete(grace_seconds=0)]
    assert [s.verb for s in draft.steps] == ["look", "delete"]


def test_a_stateful_sets_pod_warns_of_two_writers() -> None:
    assert "writes the same data" in good("force-delete-pod").blast.sentence
    assert "writes the same data" not in force("web-3-bbbbb").blast.sentence


def going(since: timedelta, name: str) -> Callable[[Scene], Any]:
    return lambda s: s.get("pods", name)["metadata"].update(deletionTimestamp=NOW - since)


@pytest.mark.parametrize(
    ("name", "change", "met"),
    [
        ("web-3-bbbbb", lambda s: None, True),  # its node is not Ready
        ("web-3-aaaaa", lambda s: None, False),  # its node is
        ("web-3-aaaaa", going(timedelta(minutes=4), "web-3-aaaaa"), False),
        ("web-3-aaaaa", going(timedelta(minutes=6), "web-3-aaaaa"), True),
        ("web-3-aaaaa", lambda s: s.drop("nodes", "worker01"), True),
        ("web-3-aaaaa", lambda s: s.get("pods", "web-3-aaaaa")["spec"].pop("nodeName"), False),
    ],
)
def test_only_a_lost_node_or_a_pod_minutes_late_may_be_forced(
    name: str, change: Callable[[Scene], Any], met: bool
) -> None:
    draft = force(name, change)
    assert (unmet(draft) == []) is met
    scene = Scene()
    change(scene)
    args = next(s.until.args for s in draft.steps if s.verb == "look" and s.until)
    seen = scene.look("pod_lost", **{k: v for k, v in args.items() if k != "namespace"})
    assert seen.outlook == ("met" if met else "refused")


def test_a_node_that_came_back_refuses_the_force() -> None:
    scene = Scene()
    scene.get("nodes", "worker02")["status"]["conditions"][0]["status"] = "True"
    seen = scene.look("pod_lost", name="db-0", uid="pod-db-0", node="worker02")
    assert (seen.outlook, "node worker02 is Ready" in seen.sentence) == ("refused", True)
    assert scene.look("pod_lost", name="db-0", uid="older", node="worker02").outlook == "met"


def test_a_finalizer_would_hold_the_pod_all_the_same() -> None:
    def hold(name: str) -> Callable[[Scene], Any]:
        return lambda s: s.get("pods", "db-0")["metadata"].update(finalizers=[name])

    assert [u for u in unmet(force("db-0", hold("example.org/x"))) if "example.org/x holds it" in u]
    assert unmet(force("db-0", hold("batch.kubernetes.io/job-tracking"))) == []


# -- jobs


def test_a_job_is_created_without_what_the_server_made() -> None:
    remove, create = effects(good("recreate-job"))
    assert remove == Delete("Background")
    assert create.body["metadata"]["name"] == "import"
    assert create.body["metadata"]["labels"] == {"app": "import"}
    assert "uid" not in str(create.body)
    assert create.body["spec"]["template"]["metadata"]["labels"] == {"app": "import"}
    assert "selector" not in create.body["spec"]


def test_a_selector_made_by_hand_stays() -> None:
    scene = Scene()
    scene.raw("jobs.batch", "import")["spec"]["manualSelector"] = True
    create = effects(scene.plan("recreate-job", name="import"))[1]
    assert "selector" in create.body["spec"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"annotations": {"helm.sh/hook": "pre-install"}}, "helm.sh/hook: sync its Application"),
        ({"annotations": {"argocd.argoproj.io/hook": "PreSync"}}, "argocd.argoproj.io/hook: sync"),
        ({"ownerReferences": [{"kind": "CronJob", "name": "x", "uid": "y", "controller": True}]}, "run that CronJob"),
    ],
)
def test_a_job_of_somebody_else_is_left_to_them(change: dict[str, Any], said: str) -> None:
    scene = Scene()
    scene.get("jobs.batch", "import")["metadata"] |= change
    assert [u for u in unmet(scene.plan("recreate-job", name="import")) if said in u]


@pytest.mark.parametrize("conditions", [[], [{"type": "Complete", "status": "True"}]])
def test_a_job_that_has_not_failed_is_not_run_again(conditions: list[dict[str, Any]]) -> None:
    scene = Scene()
    scene.get("jobs.batch", "import")["status"]["conditions"] = conditions
    assert [u for u in unmet(scene.plan("recreate-job", name="import")) if "It has failed" in u]


def test_where_argo_cd_creates_the_job_again_it_is_only_deleted() -> None:
    scene = Scene()
    scene.tracked("jobs.batch", "import", "shop")
    draft = scene.plan("recreate-job", name="import")
    assert effects(draft) == [Delete("Background")]
    assert [s.verb for s in draft.steps] == ["delete", "wait"]
    assert "creates the Job again by itself" in draft.managed_by


@pytest.mark.parametrize(("slug", "name"), [("recreate-job", "import"), ("run-cronjob-now", "report")])
def test_a_jobs_literal_credential_stays_out_of_the_plan(slug: str, name: str) -> None:
    scene = Scene()
    raw = scene.raw("jobs.batch", name) if slug == "recreate-job" else scene.raw("cronjobs.batch", name)
    spec = raw["spec"] if slug == "recreate-job" else raw["spec"]["jobTemplate"]["spec"]
    spec["template"]["spec"]["containers"][0]["env"] = [{"name": "API_KEY", "value": "canary-hunter2"}]
    with pytest.raises(CannotPlan, match="API_KEY of container") as refused:
        scene.plan(slug, name=name)
    assert "canary-hunter2" not in str(refused.value)


def test_a_cron_job_runs_as_kubectl_would_run_it() -> None:
    body = effects(good("run-cronjob-now"))[0].body
    assert body["metadata"]["name"] == "report-manual-1"
    assert body["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"] == "manual"
    owner = body["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("CronJob", "cron-report", True)
    assert "blockOwnerDeletion" not in owner


def manual(number: int, **status: Any) -> dict[str, Any]:
    owner = {"kind": "CronJob", "name": "report", "uid": "cron-report", "controller": True}
    meta = {"name": f"report-manual-{number}", "namespace": "shop", "uid": f"m{number}", "ownerReferences": [owner]}
    return {"metadata": meta, "status": status}


def test_the_next_free_number_is_taken() -> None:
    scene = Scene()
    for number in (1, 3):
        scene.add("jobs.batch", manual(number, conditions=[{"type": "Complete", "status": "True"}]))
    draft = scene.plan("run-cronjob-now", name="report")
    assert draft.steps[0].name == "report-manual-2"
    assert unmet(draft) == []


@pytest.mark.parametrize(("policy", "met"), [("Forbid", False), ("Replace", False), ("Allow", True)])
def test_side_by_side_runs_follow_the_policy(policy: str, met: bool) -> None:
    scene = Scene()
    scene.get("cronjobs.batch", "report")["spec"]["concurrencyPolicy"] = policy
    scene.add("jobs.batch", manual(1, active=1))
    draft = scene.plan("run-cronjob-now", name="report")
    assert (unmet(draft) == []) is met


@pytest.mark.parametrize(
    ("status", "outlook", "said"),
    [
        ({"conditions": [{"type": "Complete", "status": "True"}]}, "met", "complete"),
        (
            {
                "conditions": [
                    {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "Too late."}
                ]
            },
            "failed",
            "Job report-manual-1 failed: DeadlineExceeded: Too late.",
        ),
        ({"active": 1, "failed": 1}, "not_yet", "1 pod of Job report-manual-1 active, 0 succeeded, 1 failed."),
    ],
)
def test_a_jobs_end_is_waited_for(status: dict[str, Any], outlook: str, said: str) -> None:
    scene = Scene()
    scene.add("jobs.batch", manual(1, **status))
    seen = scene.look("job_done", name="report-manual-1")
    assert (seen.outlook, said in seen.sentence) == (outlook, True)


def test_the_old_job_is_not_taken_for_the_new_one() -> None:
    scene = Scene()
    assert scene.look("job_done", name="import").outlook == "failed"
    assert scene.look("job_done", name="import", not_uid="job-import").outlook == "not_yet"
    assert scene.look("job_gone", name="import", uid="job-import").outlook == "not_yet"
    assert scene.look("job_gone", name="import", uid="older").outlook == "met"


def test_a_resume_touches_pods_only_when_a_template_waits() -> None:
    scene = Scene()
    item = scene.get("deployments.apps", "paused")
    wanted = item["spec"]["replicas"]
    seen = {"observedGeneration": item["metadata"].get("generation", 0), "replicas": wanted}
    item["status"] = {**item.get("status", {}), **seen, "updatedReplicas": wanted}
    none = scene.plan("resume-rollout", name="paused").blast
    assert none.restarted == () and none.budgets == () and "No template waits" in none.sentence
    item["status"] |= {"updatedReplicas": 0}
    assert "replaced" in scene.plan("resume-rollout", name="paused").blast.sentence
    item["status"] |= {"updatedReplicas": wanted, "observedGeneration": -1}
    assert "replaced" in scene.plan("resume-rollout", name="paused").blast.sentence
