"""The Argo CD family through the engine on a lab: each action where it heals, and where its guard refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import yaml

from deployments import fault
from deployments.catalogue.argo import autosync
from deployments.engine import effects, following, requests
from deployments.models import FollowUp, Plan, Run
from deployments.services import start_run
from deployments.undo import parameters, refusal
from tests.deployments.argo.world import GRAFANA, PASSWORD, STACK
from tests.deployments.conftest import carry_on
from tests.deployments.dashboards.conftest import Desks, told
from tests.lab.world.running import APPLICATION, MONITORING, RunningLab, healthy, phase
from tests.lab.world.running import GRAFANA as DEPLOYMENT

pytestmark = [pytest.mark.lab, pytest.mark.slow, pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]
APP = APPLICATION + STACK
ROOT = APPLICATION + "root-app"
CONTROLLER = "/apis/apps/v1/namespaces/argocd/statefulsets/argocd-application-controller"
FINALIZER = "resources-finalizer.argocd.argoproj.io"


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lab's time runs twenty times as fast: what reverts a pause does so in a quarter of a second."""
    monkeypatch.setattr(autosync, "_STEADY", 1)


def succeeded(run: Run) -> Run:
    assert run.state == "succeeded", told(run)
    return run


def refused(run: Run, words: str) -> Run:
    assert run.state == "refused", told(run)
    assert words in run.sentence, run.sentence
    return run


def unmet(plan: Plan) -> list[str]:
    return [f"{p['sentence']}: {p['evidence']}" for p in plan.preconditions if not p["met"]]


def controller(lab: RunningLab, replicas: int) -> None:
    """Take Argo CD's controller away, or bring it back: what it would do waits meanwhile."""
    lab.patch(CONTROLLER, {"spec": {"replicas": replicas}})
    pods = "/api/v1/namespaces/argocd/pods"
    selector = "app.kubernetes.io/component=application-controller"
    lab.until(
        lambda: (
            [
                c["status"]
                for p in lab.items(pods, labelSelector=selector)
                for c in p["status"].get("conditions", [])
                if c["type"] == "Ready"
            ]
            == ["True"] * replicas
        ),
        f"{replicas} controllers",
    )


def just_before(monkeypatch: pytest.MonkeyPatch, step: int, then: Callable[[], object]) -> None:
    """Let somebody do something once, after the run began and just before the effect of a step (from 0)."""
    real = effects.make
    done: list[bool] = []

    def make(turn: Any, row: Any) -> Any:
        if row.index == step and not done:
            done.append(True)
            then()
        return real(turn, row)

    monkeypatch.setattr("deployments.engine.effects.make", make)


def running_operation(lab: RunningLab, message: str = "syncing") -> None:
    """An operation that runs, on a lab whose controller is away."""
    state = {"phase": "Running", "startedAt": "2025-11-23T10:00:00Z", "message": message, "operation": {"sync": {}}}
    operation = {"initiatedBy": {"username": "a-person"}, "sync": {"syncOptions": ["ServerSideApply=true"]}}
    lab.patch(APP, {"status": {"operationState": None}})
    lab.patch(APP, {"operation": operation, "status": {"operationState": state}})


def values_of(lab: RunningLab) -> Any:
    return yaml.safe_load(lab.app()["spec"]["source"]["helm"]["values"])


def values_after(plan: Plan) -> set[str]:
    """The values that a plan takes out."""
    rows = [row for step in plan.document["steps"] for row in step["diff"] if "helm.values:" in row["path"]]
    assert all(row["after"] is None for row in rows), rows
    return {row["path"].partition("helm.values:")[2] for row in rows}


def no_secret_is_stored() -> None:
    from django.apps import apps

    for model in apps.get_app_config("deployments").get_models():
        assert PASSWORD not in str(list(model._default_manager.values())), model


# -- sync


def test_selected_objects_are_synced_and_grafana_runs_again(desk: Desks, broken: RunningLab) -> None:
    at = desk(broken)
    run = succeeded(at.run("sync-selected-resources", application=STACK, hold_seconds=1))
    assert run.plan.params["resources"] == f"Deployment.apps/platform-monitoring/{GRAFANA}"
    broken.until(broken.ready_addresses, "Grafana answers")


def test_a_whole_sync_heals_and_enters_the_history(desk: Desks, broken: RunningLab) -> None:
    at = desk(broken)
    before = len(broken.app()["status"].get("history", []))
    succeeded(at.run("sync-application", application=STACK, hold_seconds=1))
    assert healthy(broken.app())
    assert len(broken.app()["status"]["history"]) == before + 1


def test_more_that_differs_than_the_plan_showed_refuses_the_sync(
    desk: Desks, broken: RunningLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = desk(broken)

    def somebody_deletes_another() -> None:
        broken.http.delete(f"/api/v1{MONITORING}/services/{GRAFANA}").raise_for_status()

    just_before(monkeypatch, 0, somebody_deletes_another)
    run = at.carry(at.plan("sync-application", application=STACK))
    refused(run, f"Service {GRAFANA}")
    assert broken.http.get(DEPLOYMENT).status_code == 404, "nothing was applied"


def tracked(name: str) -> dict[str, Any]:
    note = {"argocd.argoproj.io/tracking-id": f"root-app:/ConfigMap:argocd/{name}"}
    return {"metadata": {"name": name, "annotations": note}, "data": {"a": "1"}}


def test_pruning_deletes_what_the_plan_listed_and_nothing_more(
    desk: Desks, well: RunningLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = "/api/v1/namespaces/argocd/configmaps"

    def extra() -> list[str]:
        return [r["name"] for r in well.app("root-app")["status"]["resources"] if r.get("requiresPruning")]

    well.http.post(maps, json=tracked("left-over")).raise_for_status()
    well.until(lambda: extra() == ["left-over"], "Argo CD sees what Git does not have")
    at = desk(well)
    kept = succeeded(at.run("sync-application", application="root-app"))
    assert kept.plan.document["blast"]["deleted"] == []
    assert well.http.get(f"{maps}/left-over").status_code == 200

    plan = at.plan("sync-application", application="root-app", prune="on")
    assert (plan.tier, plan.document["confirm"]) == (3, "root-app")
    assert plan.document["blast"]["deleted"] == ["ConfigMap left-over"]
    just_before(monkeypatch, 0, lambda: well.http.post(maps, json=tracked("another")).raise_for_status())
    refused(at.carry(plan), "ConfigMap another")
    assert well.http.get(f"{maps}/left-over").status_code == 200

    plan = at.plan("sync-application", application="root-app", prune="on", hold_seconds=1)
    succeeded(at.carry(plan))
    assert [well.http.get(f"{maps}/{name}").status_code for name in ("left-over", "another")] == [404, 404]


def test_an_application_in_the_list_is_never_pruned(desk: Desks, well: RunningLab) -> None:
    note = {"argocd.argoproj.io/tracking-id": "root-app:argoproj.io/Application:argocd/forgotten"}
    spec = well.app("platform-services")["spec"] | {"syncPolicy": {}}
    body = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "forgotten", "annotations": note, "finalizers": [FINALIZER]},
        "spec": spec,
    }
    well.http.post(APPLICATION.rstrip("/"), json=body).raise_for_status()
    well.until(
        lambda: [r for r in well.app("root-app")["status"]["resources"] if r.get("requiresPruning")], "it is seen"
    )
    assert any(
        "Application forgotten" in u
        for u in unmet(desk(well).plan("sync-application", application="root-app", prune="on"))
    )


# -- operations


def test_a_running_operation_is_terminated(desk: Desks, well: RunningLab) -> None:
    at = desk(well)
    controller(well, 0)
    running_operation(well)
    plan = at.plan("terminate-operation", application=STACK)
    assert unmet(plan) == []
    run = start_run(at._user, plan.pk, "click", "")
    carry_on(run, at.cluster, until=lambda _run: phase(well.app()) == "Terminating")  # type: ignore[arg-type]
    controller(well, 1)
    run = succeeded(carry_on(run, at.cluster))  # type: ignore[arg-type]
    assert well.app()["status"]["operationState"]["message"] == "Operation terminated"


def test_an_operation_that_ended_by_itself_is_not_terminated(
    desk: Desks, well: RunningLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = desk(well)
    assert any("An operation is running: none" in u for u in unmet(at.plan("terminate-operation", application=STACK)))
    controller(well, 0)
    running_operation(well)
    plan = at.plan("terminate-operation", application=STACK)
    ended = {"operation": None, "status": {"operationState": {"phase": "Succeeded"}}}
    just_before(monkeypatch, 0, lambda: well.patch(APP, ended))
    refused(at.carry(plan), "has ended by itself")
    assert phase(well.app()) == "Succeeded", "no stale Terminating is left behind"


def test_a_stale_state_is_cleared_and_argo_cd_goes_on(desk: Desks, well: RunningLab) -> None:
    at = desk(well)
    state = {"phase": "Running", "startedAt": "2025-11-23T10:00:00Z", "finishedAt": None, "message": "old"}
    well.patch(APP, {"status": {"operationState": state}})
    assert any("clear the stale operation first" in u for u in unmet(at.plan("sync-application", application=STACK)))
    succeeded(at.run("clear-stale-operation", application=STACK))
    assert "operationState" not in well.app()["status"]
    succeeded(at.run("sync-application", application=STACK, hold_seconds=1))


def test_a_state_whose_operation_is_there_is_not_cleared(
    desk: Desks, well: RunningLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = desk(well)
    controller(well, 0)
    state = {"phase": "Running", "startedAt": "2025-11-23T10:00:00Z", "finishedAt": None, "message": "old"}
    well.patch(APP, {"status": {"operationState": state}})
    plan = at.plan("clear-stale-operation", application=STACK)
    assert unmet(plan) == []
    just_before(monkeypatch, 0, lambda: running_operation(well))
    refused(at.carry(plan), "its state is not stale")
    assert phase(well.app()) == "Running"


# -- hooks


def hook(lab: RunningLab, **meta: Any) -> dict[str, Any]:
    """A Job as a hook of the stack that cannot pull its image."""
    container = {"name": "create", "image": "registry.invalid/nothing:1", "command": ["true"]}
    body = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": f"{STACK}-admission-create",
            "annotations": {"helm.sh/hook": "pre-install,pre-upgrade"},
            **meta,
        },
        "spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [container]}}},
    }
    made = lab.http.post(f"/apis/batch/v1{MONITORING}/jobs", json=body)
    made.raise_for_status()
    answer: dict[str, Any] = made.json()
    return answer


JOB = f"/apis/batch/v1{MONITORING}/jobs/{STACK}-admission-create"
SAYS = f"waiting for completion of hook batch/Job/{STACK}-admission-create"


@pytest.mark.parametrize("held", [False, True])
def test_a_stuck_hook_goes_and_the_sync_is_made(desk: Desks, well: RunningLab, held: bool) -> None:
    at = desk(well)
    controller(well, 0)
    hook(well, finalizers=["argocd.argoproj.io/hook-finalizer"] if held else [])
    if held:
        well.http.delete(JOB, params={"propagationPolicy": "Background"}).raise_for_status()
        assert well.get(JOB)["metadata"]["deletionTimestamp"]
    running_operation(well, SAYS)
    plan = at.plan("clear-stuck-hook", application=STACK, hold_seconds=1)
    assert unmet(plan) == []
    assert [s["spec"]["verb"] for s in plan.document["steps"]] == ["terminate", "release" if held else "delete", "sync"]
    run = start_run(at._user, plan.pk, "click", "")
    carry_on(run, at.cluster, until=lambda _run: phase(well.app()) == "Terminating")  # type: ignore[arg-type]
    controller(well, 1)
    succeeded(carry_on(run, at.cluster, seconds=120))  # type: ignore[arg-type]
    assert well.http.get(JOB).status_code == 404
    assert phase(well.app()) == "Succeeded"


def test_a_job_that_is_no_hook_is_not_deleted(desk: Desks, well: RunningLab) -> None:
    at = desk(well)
    controller(well, 0)
    hook(well, annotations={})
    running_operation(well, SAYS)
    assert any("it carries neither" in u for u in unmet(at.plan("clear-stuck-hook", application=STACK)))


def test_a_hook_that_was_made_anew_is_not_deleted(
    desk: Desks, well: RunningLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = desk(well)
    controller(well, 0)
    hook(well)
    running_operation(well, SAYS)
    plan = at.plan("clear-stuck-hook", application=STACK, then_sync="no")
    ended = {"operation": None, "status": {"operationState": {"phase": "Failed"}}}

    def somebody_else_cleared_it() -> None:
        well.patch(APP, ended)
        well.http.delete(JOB, params={"propagationPolicy": "Background"}).raise_for_status()
        hook(well)

    just_before(monkeypatch, 0, somebody_else_cleared_it)
    run = succeeded(at.carry(plan))
    assert well.http.get(JOB).status_code == 200, "another Job of that name is another one"
    assert "nothing to do" in told(run)


# -- auto-sync


def test_a_pause_stays_and_is_resumed_by_itself(desk: Desks, well: RunningLab) -> None:
    at = desk(well)
    before = well.app("root-app")["spec"]
    run = succeeded(at.run("pause-auto-sync", application="root-app", minutes=5))
    assert "automated" not in well.app("root-app")["spec"]["syncPolicy"]
    row = FollowUp.objects.get(run=run)
    assert run.finished_at is not None
    assert (row.due_at - run.finished_at).total_seconds() == pytest.approx(300, abs=5)
    FollowUp.objects.update(due_at=run.finished_at)
    following.carry_on()
    row.refresh_from_db()
    assert row.request is not None
    requests.make(row.request.pk, opener=lambda: at.cluster)
    following.carry_on()
    row.refresh_from_db()
    assert row.started is not None, row.sentence
    succeeded(carry_on(row.started, at.cluster))  # type: ignore[arg-type]
    assert well.app("root-app")["spec"] == before
    assert "portal.remediation/paused-auto-sync" not in well.app("root-app")["metadata"].get("annotations", {})


def test_undoing_a_resume_leaves_auto_sync_off(desk: Desks, well: RunningLab) -> None:
    """``automated: {}`` stayed behind once, and that is auto-sync turned on."""
    at = desk(well)
    succeeded(at.run("pause-auto-sync", application="root-app", minutes=5))
    paused = well.app("root-app")["spec"]
    run = succeeded(at.run("resume-auto-sync", application="root-app"))
    succeeded(at.run("undo-run", **parameters(run)))
    assert well.app("root-app")["spec"] == paused
    succeeded(at.run("refresh-application", application="root-app", mode="hard"))
    assert well.app("root-app")["spec"] == paused


def test_a_pause_that_a_parent_would_revert_is_refused_and_the_way_out_works(desk: Desks, well: RunningLab) -> None:
    at = desk(well)
    [said] = unmet(at.plan("pause-auto-sync", application=STACK))
    assert "root-app reverts it within seconds" in said
    succeeded(at.run("pause-auto-sync", application="root-app"))
    succeeded(at.run("pause-auto-sync", application=STACK))
    assert "automated" not in well.app()["spec"]["syncPolicy"]


def test_the_lab_does_revert_what_the_precondition_warns_of(well: RunningLab) -> None:
    """Else the precondition would be a story."""
    well.patch(APP, {"spec": {"syncPolicy": {"automated": None}}})
    well.until(lambda: "automated" in well.app()["spec"]["syncPolicy"], "root-app sets it back")


def test_a_pause_that_somebody_reverts_is_a_failure(
    desk: Desks, well: RunningLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(autosync, "_STEADY", 10)
    at = desk(well)
    plan = at.plan("pause-auto-sync", application="root-app")
    run = start_run(at._user, plan.pk, "click", "")
    carry_on(run, at.cluster, until=lambda r: r.steps.get(index=0).memory.get("seen"))  # type: ignore[arg-type]
    well.patch(ROOT, {"spec": {"syncPolicy": {"automated": {"selfHeal": True}}}})
    run = carry_on(run, at.cluster)  # type: ignore[arg-type]
    assert run.state == "failed", told(run)
    assert "Somebody turned auto-sync of root-app on" in run.sentence


# -- values and rollback


def test_values_are_set_in_the_text_and_argo_cd_applies_them_then_a_rollback_takes_them_back(
    desk: Desks, well: RunningLab
) -> None:
    at = desk(well)
    # one whole sync first, so that the history knows the values as they are
    succeeded(at.run("sync-application", application=STACK, hold_seconds=1))
    first = well.app()["status"]["history"][-1]["id"]
    edits = "grafana.replicas=2, grafana.service.annotations.team=platform"
    [said] = [u for u in unmet(at.plan("set-helm-values", application=STACK, values=edits)) if "stays" in u]
    assert "root-app reverts it" in said

    succeeded(at.run("pause-auto-sync", application="root-app"))
    before = well.app()["spec"]["source"]["helm"]
    plan = at.plan("set-helm-values", application=STACK, values=edits, hold_seconds=1)
    assert "a/bootstrap/apps/monitoring.yaml" in plan.document["git_patch"]
    run = succeeded(at.carry(plan))
    # the text holds a credential, so nothing of it is kept; the plan says with what it is set back
    assert "left nothing that can be put back" in refusal(run)
    undone = at.plan("set-helm-values", application=STACK, values=plan.document["undo"].partition("with: ")[2])
    assert values_after(undone) == {"grafana.replicas", "grafana.service.annotations.team"}
    after = well.app()["spec"]["source"]["helm"]
    assert set(after) == set(before) and isinstance(after["values"], str)
    assert after["values"].splitlines()[0] == before["values"].splitlines()[0]
    assert values_of(well)["grafana"]["adminPassword"] == PASSWORD
    assert values_of(well)["grafana"]["replicas"] == 2
    assert well.get(DEPLOYMENT)["spec"]["replicas"] == 2
    no_secret_is_stored()

    [said] = unmet(at.plan("roll-back-application", application=STACK, id=first))
    assert "it is on: pause it first" in said
    succeeded(at.run("pause-auto-sync", application=STACK))
    run = succeeded(at.run("roll-back-application", application=STACK, id=first))
    assert "values.grafana.replicas: not set (now 2)" in run.plan.document["blast"]["sentence"]
    assert well.get(DEPLOYMENT)["spec"]["replicas"] == 1
    assert well.app()["status"]["operationState"]["syncResult"]["source"]["helm"]["values"] == before["values"]
    assert values_of(well)["grafana"]["replicas"] == 2, "the spec stays ahead"
    no_secret_is_stored()


def test_a_rollback_is_refused_when_auto_sync_comes_back(
    desk: Desks, well: RunningLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = desk(well)
    for _ in range(2):
        succeeded(at.run("sync-application", application=STACK, hold_seconds=1))
    first = well.app()["status"]["history"][0]["id"]
    succeeded(at.run("pause-auto-sync", application="root-app"))
    succeeded(at.run("pause-auto-sync", application=STACK))
    plan = at.plan("roll-back-application", application=STACK, id=first)
    on = {"spec": {"syncPolicy": {"automated": {"prune": True, "selfHeal": True}}}}
    just_before(monkeypatch, 0, lambda: well.patch(APP, on))
    assert at.carry(plan).state == "refused"


def test_values_that_do_not_render_end_the_run_and_say_so(desk: Desks, well: RunningLab) -> None:
    at = desk(well)
    succeeded(at.run("pause-auto-sync", application="root-app"))
    run = at.carry(at.plan("set-helm-values", application=STACK, values="grafana.persistence=5", hold_seconds=1))
    assert run.state == "failed", told(run)
    no_secret_is_stored()


# -- delete and recreate


def uids(lab: RunningLab) -> dict[str, str]:
    """Some of what the stack manages, by path."""
    core, apps = f"/api/v1{MONITORING}", f"/apis/apps/v1{MONITORING}"
    return {
        f"{path}/{item['metadata']['name']}": item["metadata"]["uid"]
        for path in (f"{core}/services", f"{core}/configmaps", f"{apps}/deployments")
        for item in lab.items(path)
    }


def test_an_application_is_recreated_by_its_parent_and_everything_is_kept(desk: Desks, broken: RunningLab) -> None:
    at = desk(broken)
    before, old, kept = broken.app()["spec"], broken.app()["metadata"]["uid"], uids(broken)
    plan = at.plan("recreate-application", application=STACK, hold_seconds=1)
    assert (plan.tier, plan.document["confirm"], unmet(plan)) == (3, STACK, [])
    run = succeeded(at.carry(plan, seconds=200))
    (approval,) = run.approvals.all()
    assert (approval.by.get_username(), run.requested_by.get_username()) == ("henry", "grace")
    assert "Approved by henry" in told(run)
    after = broken.app()
    assert after["metadata"]["uid"] != old
    assert after["spec"] == before
    assert {name: uid for name, uid in uids(broken).items() if name in kept} == kept
    assert FINALIZER in after["metadata"]["finalizers"], "from Git, as before"
    broken.until(broken.ready_addresses, "and Grafana runs again: the new Application has not failed yet")
    assert "objects kept" in told(run)
    mine = [w for w in broken.writes() if w["user"] == "admin"]  # the sync deletes hooks that have succeeded, by itself
    deleted = [w for w in mine if w["verb"] == "delete" and not w["dry_run"]]
    assert [w["name"] for w in deleted] == [STACK], deleted
    no_secret_is_stored()


def test_without_a_parent_that_heals_it_is_synced_from_there(desk: Desks, well: RunningLab) -> None:
    at = desk(well)
    succeeded(at.run("pause-auto-sync", application="root-app"))
    old = well.app()["metadata"]["uid"]
    plan = at.plan("recreate-application", application=STACK, hold_seconds=1)
    assert "sync" in [s["spec"]["verb"] for s in plan.document["steps"]]
    succeeded(at.carry(plan, seconds=200))
    assert well.app()["metadata"]["uid"] != old


def test_an_application_of_its_own_is_created_again_from_itself(desk: Desks, well: RunningLab) -> None:
    at = desk(well)
    body = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "lonely", "finalizers": [FINALIZER, "example.com/audit"], "labels": {"team": "a"}},
        "spec": well.app("platform-services")["spec"] | {"source": {**well.app("infrastructure")["spec"]["source"]}},
    }
    body["spec"]["syncPolicy"] = {}
    well.http.post(APPLICATION.rstrip("/"), json=body).raise_for_status()
    well.until(lambda: well.app("lonely").get("status", {}).get("resources"), "Argo CD compared it")
    plan = at.plan("recreate-application", application="lonely")
    assert unmet(plan) == []
    run = at.start(plan)
    lonely = APPLICATION + "lonely"
    carry_on(
        run,
        at.cluster,  # type: ignore[arg-type]
        until=lambda _r: bool(well.get(lonely)["metadata"].get("deletionTimestamp")),
        seconds=60,
    )
    assert "example.com/audit" in well.get(lonely)["metadata"]["finalizers"]
    assert FINALIZER not in well.get(lonely)["metadata"]["finalizers"]
    left = [f for f in well.get(lonely)["metadata"]["finalizers"] if f != "example.com/audit"]
    well.patch(lonely, {"metadata": {"finalizers": left or None}})
    succeeded(carry_on(run, at.cluster, seconds=120))  # type: ignore[arg-type]
    again = well.get(lonely)
    assert again["spec"] == body["spec"] and again["metadata"]["labels"] == {"team": "a"}
    assert again["metadata"]["finalizers"] == [FINALIZER, "example.com/audit"]


def test_a_finalizer_that_comes_back_stops_the_deletion(
    desk: Desks, well: RunningLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one mistake that would delete the whole stack."""
    at = desk(well)
    kept = uids(well)
    plan = at.plan("recreate-application", application=STACK, hold_seconds=1)
    verbs = [s["spec"]["verb"] for s in plan.document["steps"]]
    back = {"metadata": {"finalizers": [FINALIZER]}}
    just_before(monkeypatch, verbs.index("delete"), lambda: well.patch(APP, back))
    run = at.carry(plan)
    assert run.state == "refused", told(run)
    assert "deletionTimestamp" not in well.app()["metadata"]
    assert uids(well) == kept


def test_a_worker_that_dies_right_after_the_deletion_is_followed_by_one_that_goes_on(
    desk: Desks, well: RunningLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = desk(well)
    kept = uids(well)
    plan = at.plan("recreate-application", application=STACK, hold_seconds=1)
    index = [s["spec"]["verb"] for s in plan.document["steps"]].index("delete")
    real, deaths = fault.point, [index]

    def dies(name: str, step: int) -> None:
        if name == "after_effect" and step in deaths:
            deaths.remove(step)
            raise SystemExit
        real(name, step)

    monkeypatch.setattr("deployments.engine.effects.point", dies)
    run = at.start(plan)
    with pytest.raises(SystemExit):
        carry_on(run, at.cluster)  # type: ignore[arg-type]
    Run.objects.filter(pk=run.pk).update(lease_until=None)
    run = succeeded(carry_on(run, at.cluster, seconds=200))  # type: ignore[arg-type]
    assert "not repeating it" in told(run)
    assert uids(well) == kept
    assert len([w for w in well.writes() if w["verb"] == "delete" and not w["dry_run"]]) == 1
