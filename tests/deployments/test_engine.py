"""The engine against a cluster in memory: each effect at most once, whatever happens in between."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, transaction

from common.clock import now
from common.models import AuditEvent, broken_links
from deployments.catalogue import registry
from deployments.catalogue.action import MARK
from deployments.engine import lease, planning, requests, settling, steps
from deployments.engine.advance import advance
from deployments.engine.cluster import Write
from deployments.engine.journal import Journal
from deployments.models import Lock, LogLine, Plan, PlanRequest, Run, Step, WriteStop
from deployments.services import cancel_run, request_plan, start_run
from deployments.states import RunState, StepState
from integrations.errors import Unreachable
from tests.deployments.conftest import SLUG, carry_on, make_plan
from tests.deployments.fake import APPS, GRAFANA, NAMESPACE, FakeCluster

pytestmark = pytest.mark.django_db(transaction=True)


def effects_of(cluster: FakeCluster) -> list[str]:
    """What the cluster accepted, by the marks of the writes."""
    return [str(w.body["metadata"]["annotations"][MARK]).rpartition(".")[2] for w in cluster.ledger]


# -- the way it should go


def test_the_repair_succeeds_and_makes_each_effect_once(run: Run, cluster: FakeCluster) -> None:
    run = carry_on(run, cluster)
    assert run.state == RunState.SUCCEEDED, run.sentence
    assert effects_of(cluster) == ["1", "3", "5"]
    assert [s.state for s in run.steps.all()] == ["done"] * 5
    assert Lock.objects.count() == 0
    assert cluster.app()["status"]["history"][-1]["id"] == 12


def test_evidence_before_and_now_is_kept(run: Run, cluster: FakeCluster) -> None:
    run = carry_on(run, cluster)
    assert [r["title"] for r in run.before] == [r["title"] for r in run.now]
    assert all(r["word"] == "verified" for r in run.now)
    assert any(r["word"] != "verified" for r in run.before)


def test_log_lines_are_numbered_without_gaps(run: Run, cluster: FakeCluster) -> None:
    run = carry_on(run, cluster)
    numbers = list(run.lines.order_by("number").values_list("number", flat=True))
    assert numbers == list(range(1, run.line_count + 1))


def test_the_write_names_the_person_and_the_run(run: Run, cluster: FakeCluster) -> None:
    carry_on(run, cluster)
    operation = cluster.ledger[1].body["operation"]
    assert operation["initiatedBy"] == {"username": "phaseboard:olivia"}
    assert operation["info"] == [{"name": "phaseboard", "value": f"{run.pk}.3"}]
    assert cluster.ledger[1].field_manager == "portal-remediation/repair-grafana-in-place"


def test_no_secret_of_the_cluster_is_stored_anywhere(run: Run, cluster: FakeCluster) -> None:
    carry_on(run, cluster)
    models: tuple[Any, ...] = (Plan, PlanRequest, Run, Step, LogLine, AuditEvent)
    stored = [json.dumps(list(model.objects.values()), default=str) for model in models]
    assert not [text for text in stored if "canary-Pa55word" in text]


def test_the_audit_trail_is_whole(run: Run, cluster: FakeCluster) -> None:
    carry_on(run, cluster)
    assert list(AuditEvent.objects.values_list("verb", flat=True)) == ["run.start", "run.succeeded"]
    assert broken_links() == []


def test_evidence_that_never_holds_ends_the_run_as_failed(run: Run, cluster: FakeCluster) -> None:
    cluster.grafana_answers = False
    run = carry_on(run, cluster)
    assert run.state == RunState.FAILED
    assert "Grafana answers" in run.sentence
    assert [s.state for s in run.steps.all()] == ["done"] * 5


def test_the_evidence_must_hold_for_the_whole_time(cluster: FakeCluster, operator: User) -> None:
    plan = make_plan(cluster, hold_seconds=2)
    run = carry_on(start_run(operator, plan.pk, "click"), cluster)
    assert run.state == RunState.SUCCEEDED
    assert run.holding_since is not None and run.finished_at is not None
    assert run.finished_at - run.holding_since >= timedelta(seconds=2)


def test_evidence_that_breaks_off_starts_to_hold_anew(cluster: FakeCluster, operator: User) -> None:
    plan = make_plan(cluster, hold_seconds=3, verify_seconds=60)
    run = carry_on(start_run(operator, plan.pk, "click"), cluster, until=lambda r: r.holding_since is not None)
    first = run.holding_since
    cluster.grafana_answers = False
    run = carry_on(run, cluster, until=lambda r: r.holding_since is None)
    cluster.grafana_answers = True
    run = carry_on(run, cluster)
    assert run.state == RunState.SUCCEEDED
    assert first is not None and run.holding_since is not None and run.holding_since > first


def test_a_rollout_that_never_gets_ready_is_failed_and_the_last_sync_is_not_made(
    cluster: FakeCluster, operator: User
) -> None:
    cluster.rollout_works = False
    plan = make_plan(cluster, rollout_seconds=5)
    run = carry_on(start_run(operator, plan.pk, "click"), cluster)
    assert run.state == RunState.FAILED
    assert effects_of(cluster) == ["1", "3"]
    assert [s.state for s in run.steps.all()] == ["done", "done", "done", "failed", "skipped"]
    assert "Refresh" in run.sentence and "Made before" in run.sentence


# -- the cluster moves


def test_a_target_that_moved_after_planning_is_refused_with_the_difference(run: Run, cluster: FakeCluster) -> None:
    cluster.edit(APPS, "argocd", "kube-prometheus-stack", {"spec": {"source": {"targetRevision": "56.0.0"}}})
    run = carry_on(run, cluster)
    assert run.state == RunState.REFUSED
    assert "spec.source.targetRevision was 55.5.0, is 56.0.0" in run.sentence
    assert cluster.ledger == []


def test_a_changed_secret_in_the_values_is_noticed_and_not_shown(run: Run, cluster: FakeCluster) -> None:
    values = cluster.app()["spec"]["source"]["helm"]["values"].replace("7731", "7732")
    cluster.edit(APPS, "argocd", "kube-prometheus-stack", {"spec": {"source": {"helm": {"values": values}}}})
    run = carry_on(run, cluster)
    assert run.state == RunState.REFUSED
    assert "grafana.adminPassword" in run.sentence
    assert "canary" not in run.sentence


def test_a_target_created_anew_between_two_steps_is_refused(run: Run, cluster: FakeCluster) -> None:
    def recreate(write: Write) -> None:
        cluster.app()["metadata"]["uid"] = "app-2"

    cluster.after_write = recreate
    run = carry_on(run, cluster)
    assert run.state == RunState.REFUSED
    assert effects_of(cluster) == ["1"]
    assert "created anew" in run.sentence


def test_a_target_that_moves_between_two_steps_is_refused(run: Run, cluster: FakeCluster) -> None:
    def move(write: Write) -> None:
        cluster.app()["spec"]["destination"]["namespace"] = "elsewhere"

    cluster.after_write = move
    run = carry_on(run, cluster)
    assert run.state == RunState.REFUSED
    assert effects_of(cluster) == ["1"]
    assert "was platform-monitoring, is elsewhere" in run.sentence


def test_status_and_noise_may_move_without_harm(run: Run, cluster: FakeCluster) -> None:
    cluster.edit(APPS, "argocd", "kube-prometheus-stack", {"status": {"reconciledAt": "2025-11-23T14:00:30Z"}})
    assert carry_on(run, cluster).state == RunState.SUCCEEDED


def test_a_conflict_is_compared_again_and_then_made(run: Run, cluster: FakeCluster) -> None:
    seen: list[str] = []

    def race(write: Write) -> None:
        if len(seen) < 2:
            seen.append(write.name)
            cluster.edit(APPS, "argocd", write.name, {"status": {"observed": str(len(seen))}})

    cluster.before_write = race
    run = carry_on(run, cluster)
    assert run.state == RunState.SUCCEEDED
    assert effects_of(cluster) == ["1", "3", "5"]


def test_somebody_elses_operation_is_waited_for(run: Run, cluster: FakeCluster) -> None:
    made: list[bool] = []

    def other(write: Write) -> None:
        if not made:
            made.append(True)
            cluster.app()["operation"] = {"initiatedBy": {"automated": True}, "sync": {}}
            cluster.app()["status"].pop("operationState")

    cluster.after_write = other
    cluster.operation_moves = 4
    run = carry_on(run, cluster)
    assert run.state == RunState.SUCCEEDED, run.sentence
    assert any("operation that Argo CD itself started" in line.text for line in run.lines.all())


# -- answers that do not come


def test_a_write_whose_answer_is_lost_is_looked_up_not_repeated(run: Run, cluster: FakeCluster) -> None:
    def lose(write: Write) -> None:
        cluster.after_write = lambda write: None
        raise Unreachable("demo does not answer: it went silent.", maybe_done=True)

    cluster.after_write = lose
    run = carry_on(run, cluster)
    assert run.state == RunState.SUCCEEDED
    assert effects_of(cluster) == ["1", "3", "5"]
    assert (run.steps.get(index=0).outcome or {})["recovered"] is True


def test_a_write_that_never_arrived_is_made_once_the_server_answers(run: Run, cluster: FakeCluster) -> None:
    def lose(write: Write) -> None:
        cluster.before_write = lambda write: None
        raise Unreachable("demo does not answer: the connection was cut.", maybe_done=True)

    cluster.before_write = lose
    run = carry_on(run, cluster)
    assert run.state == RunState.SUCCEEDED
    assert effects_of(cluster) == ["1", "3", "5"]


def test_silence_after_a_write_ends_as_outcome_unknown(run: Run, cluster: FakeCluster) -> None:
    def lose(write: Write) -> None:
        cluster.silent = True
        raise Unreachable("demo does not answer.", maybe_done=True)

    cluster.after_write = lose
    carry_on(run, cluster, until=lambda r: cluster.silent)
    run.steps.filter(index=0).update(deadline_at=now() - timedelta(seconds=1))
    run = carry_on(run, cluster)
    assert run.state == RunState.OUTCOME_UNKNOWN
    assert "nobody can tell" in run.sentence


def test_a_write_the_server_rejects_is_failed(run: Run, cluster: FakeCluster) -> None:
    from integrations.errors import Forbidden

    def deny(write: Write) -> None:
        raise Forbidden("patch is forbidden", status=403)

    cluster.before_write = deny
    run = carry_on(run, cluster)
    assert run.state == RunState.FAILED
    assert "forbidden" in run.sentence


# -- crashes


class Killed(BaseException):
    """What no handler of the engine may catch."""


def crash_in(monkeypatch: pytest.MonkeyPatch, name: str, step: int | None = None) -> list[str]:
    """Make the worker vanish at a kill point, once: nothing after it happens, not even the release of the lease."""
    died: list[str] = []

    def point(reached: str, at: int | None = None) -> None:
        if reached == name and not died and (step is None or at == step):
            died.append(reached)
            raise Killed

    for module in ("advance", "begin", "effects", "steps", "verify"):
        monkeypatch.setattr(f"deployments.engine.{module}.point", point)
    return died


@pytest.mark.parametrize(
    ("name", "step"),
    [("claimed", None), ("prepared", None)]
    + [
        (n, s)
        for s in (0, 2, 4)
        for n in ("before_intent", "after_intent", "after_effect", "after_outcome", "step_done")
    ]
    + [("in_wait", 1), ("in_wait", 3), ("in_verify", None), ("before_end", None)],
)
def test_a_run_whose_worker_dies_goes_on_and_repeats_nothing(
    run: Run, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch, name: str, step: int | None
) -> None:
    died = crash_in(monkeypatch, name, step)
    with pytest.raises(Killed):
        carry_on(run, cluster)
    assert died == [name]
    assert advance(run.pk, opener=lambda: cluster).claimed is False, "a dead worker's lease still holds"
    Run.objects.filter(pk=run.pk).update(lease_until=now() - timedelta(seconds=1))
    run = carry_on(run, cluster)
    assert run.state == RunState.SUCCEEDED, run.sentence
    assert effects_of(cluster) == ["1", "3", "5"]
    assert any("died" in line.text for line in run.lines.all())


def test_three_crashes_in_one_step_end_the_run_and_free_its_targets(
    run: Run, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(turn: object) -> float:
        raise RuntimeError("poison")

    monkeypatch.setattr("deployments.engine.steps.look", broken)
    monkeypatch.setattr("deployments.engine.verify.look", broken)
    run = carry_on(run, cluster)
    assert run.state == RunState.ERRORED
    assert run.crashes == 3
    assert Lock.objects.count() == 0


def test_a_database_that_goes_away_again_and_again_is_no_crash_of_the_run(
    run: Run, cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = steps.look
    cut: list[int] = []

    def sometimes(turn: Any) -> float:
        if len(cut) < 4:
            cut.append(turn.index)
            raise OperationalError("terminating connection due to administrator command")
        return look(turn)

    monkeypatch.setattr("deployments.engine.steps.look", sometimes)
    run = carry_on(run, cluster)
    assert cut == [0, 0, 0, 0]
    assert run.state == RunState.SUCCEEDED, run.sentence
    assert not any("died" in line.text for line in run.lines.all())
    assert effects_of(cluster) == ["1", "3", "5"]


def test_crashes_in_different_steps_do_not_add_up(run: Run, cluster: FakeCluster) -> None:
    for _ in range(2):
        Run.objects.filter(pk=run.pk).update(lease_owner="gone", lease_until=now() - timedelta(seconds=1))
        advance(run.pk, opener=lambda: cluster)
    run.refresh_from_db()
    assert run.state != RunState.ERRORED


# -- leases


def test_only_one_of_two_workers_gets_the_run(run: Run) -> None:
    first, second = lease.claim(run.pk, "a"), lease.claim(run.pk, "b")
    assert first is not None and second is None


def test_a_worker_that_lost_its_lease_writes_nothing(run: Run) -> None:
    stale = lease.claim(run.pk, "a")
    assert stale is not None
    Run.objects.filter(pk=run.pk).update(lease_until=now() - timedelta(seconds=1))
    assert lease.claim(run.pk, "b") is not None
    with pytest.raises(lease.LostLease), Journal(stale).write() as entry:
        entry.log("must not be there")
    assert not LogLine.objects.filter(text="must not be there").exists()
    assert lease.renew(stale) is False


def test_a_late_worker_cannot_make_the_effect_a_second_time(run: Run, cluster: FakeCluster) -> None:
    """The zombie wakes up after another worker made its step: its write carries an old resourceVersion."""
    sent: list[Write] = []

    def overtaken(write: Write) -> None:
        sent.append(write)
        cluster.before_write = lambda write: None
        cluster.send(write, dry_run=False)

    cluster.before_write = overtaken
    run = carry_on(run, cluster)
    assert run.state == RunState.SUCCEEDED
    assert len(sent) == 1
    assert effects_of(cluster) == ["1", "3", "5"]


# -- cancel, stop switch


def test_cancel_between_steps_says_what_was_done(run: Run, cluster: FakeCluster, operator: User) -> None:
    def ask(write: Write) -> None:
        if len(cluster.ledger) == 2:
            cancel_run(operator, run)

    cluster.after_write = ask
    cluster.operation_moves = 2
    run = carry_on(run, cluster)
    assert run.state == RunState.CANCELLED
    assert "Cancelled by olivia in step 3: Sync 8 Grafana objects" in run.sentence
    assert effects_of(cluster) == ["1", "3"]
    assert Lock.objects.count() == 0


def test_cancel_inside_a_wait_ends_it(run: Run, cluster: FakeCluster, operator: User) -> None:
    cluster.argo_works = False
    carry_on(run, cluster, until=lambda r: r.steps.filter(state=StepState.WAITING.value).exists())
    cancel_run(operator, run)
    run = carry_on(run, cluster, seconds=5)
    assert run.state == RunState.CANCELLED
    assert "was asked for and goes on by itself" in run.sentence
    assert effects_of(cluster) == ["1"]


def test_cancel_does_not_leave_a_write_in_doubt(
    run: Run, cluster: FakeCluster, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash_in(monkeypatch, "after_effect", 2)
    with pytest.raises(Killed):
        carry_on(run, cluster)
    cancel_run(operator, run)
    Run.objects.filter(pk=run.pk).update(lease_until=now() - timedelta(seconds=1))
    run = carry_on(run, cluster)
    assert run.state == RunState.CANCELLED
    assert (run.steps.get(index=2).outcome or {})["recovered"] is True
    assert effects_of(cluster) == ["1", "3"]


def test_the_stop_switch_holds_runs_already_queued(run: Run, cluster: FakeCluster, operator: User) -> None:
    stop = WriteStop.objects.create(cluster="demo", by=operator, reason="exam week", at=now())
    Run.objects.filter(pk=run.pk).update(cluster="demo")
    carry_on(run, cluster, until=lambda r: "exam week" in r.sentence)
    assert cluster.ledger == []
    stop.delete()
    assert carry_on(run, cluster).state == RunState.SUCCEEDED


def test_rights_are_asked_again_when_the_run_begins(run: Run, cluster: FakeCluster, operator: User) -> None:
    operator.user_permissions.clear()
    run = carry_on(run, cluster)
    assert run.state == RunState.REFUSED
    assert "may no longer run tier 1" in run.sentence
    assert cluster.ledger == []


def test_a_precondition_that_fails_at_the_last_moment_refuses(run: Run, cluster: FakeCluster) -> None:
    cluster.app()["metadata"]["deletionTimestamp"] = "2025-11-23T14:00:00Z"
    run = carry_on(run, cluster)
    assert run.state == RunState.REFUSED
    assert cluster.ledger == []


# -- plans


def test_the_same_cluster_gives_the_same_plan_row(cluster: FakeCluster) -> None:
    first, second = make_plan(cluster), make_plan(cluster)
    assert first.pk == second.pk and Plan.objects.count() == 1


def test_the_plan_shows_each_field_of_each_write(plan: Plan) -> None:
    refresh = plan.document["steps"][0]["diff"]
    assert {"path": 'metadata.annotations["argocd.argoproj.io/refresh"]', "before": None, "after": "hard"} in refresh
    assert not [c for c in refresh if "resourceVersion" in c["path"]]
    sync = {c["path"]: c["after"] for c in plan.document["steps"][2]["diff"]}
    assert sync["operation.sync.prune"] is False
    assert sync["operation.initiatedBy.username"] == "phaseboard:<you>"


def test_every_write_is_tried_dry_and_none_is_made(cluster: FakeCluster, plan: Plan) -> None:
    assert len(cluster.dry_runs) == 3
    assert cluster.ledger == []


def test_a_missing_right_is_an_unmet_precondition_with_its_rule(cluster: FakeCluster) -> None:
    cluster.forbidden = {"patch"}
    plan = make_plan(cluster)
    assert [p["met"] for p in plan.preconditions if "identity" in p["sentence"]] == [False]
    assert plan.rights[0]["missing"] == ["patch"]
    assert "resourceNames: [kube-prometheus-stack]" in plan.rights[0]["rule"]


def test_the_locks_are_the_application_and_everything_it_will_apply(plan: Plan) -> None:
    keys = plan.document["locks"]
    assert "demo/argoproj.io/Application/argocd/kube-prometheus-stack" in keys
    assert f"demo/apps/Deployment/{NAMESPACE}/{GRAFANA}" in keys
    assert "demo/rbac.authorization.k8s.io/ClusterRole//kube-prometheus-stack-grafana-clusterrole" in keys


def test_a_silent_cluster_gives_a_sentence_and_no_plan(cluster: FakeCluster, operator: User) -> None:
    cluster.silent = True
    asked = request_plan(operator, SLUG, {}, "item:1", "form-1")
    made = requests.make(asked.pk, opener=lambda: cluster)
    assert made is not None and made.state == "failed"
    assert "does not answer" in made.sentence


def test_a_plan_request_that_crashes_three_times_is_given_up(operator: User, cluster: FakeCluster) -> None:
    asked = request_plan(operator, SLUG, {}, "", "form-2")
    PlanRequest.objects.filter(pk=asked.pk).update(attempts=3)
    made = requests.make(asked.pk, opener=lambda: cluster)
    assert made is not None and made.state == "failed" and "given up" in made.sentence


@pytest.mark.parametrize("slug", ["refresh-application", "rollout-restart"])
def test_the_other_actions_run_by_the_same_engine(slug: str, cluster: FakeCluster, operator: User) -> None:
    by_slug: dict[str, dict[str, Any]] = {
        "refresh-application": {"application": "kube-prometheus-stack"},
        "rollout-restart": {"namespace": NAMESPACE, "name": "kube-prometheus-stack-operator", "hold_seconds": 1},
    }
    params = by_slug[slug]

    def roll(write: Write) -> None:
        if write.resource == "deployments.apps":
            stored = cluster.objects["deployments.apps"][(NAMESPACE, write.name)]
            stored["status"]["observedGeneration"] = stored["metadata"]["generation"]

    cluster.after_write = roll
    plan = planning.make(cluster, registry.get(slug), registry.parse(slug, params))
    run = carry_on(start_run(operator, plan.pk, "click"), cluster, until=lambda r: r.state == RunState.VERIFYING)
    assert [s.state for s in run.steps.all()] == ["done"], run.sentence
    assert len(cluster.ledger) == 1


def test_a_write_whose_wait_fails_is_not_called_nothing(cluster: FakeCluster, operator: User) -> None:
    def stall(write: Write) -> None:
        stored = cluster.objects["deployments.apps"][(NAMESPACE, write.name)]
        stored["status"]["observedGeneration"] = stored["metadata"]["generation"]
        stored["status"]["conditions"] = [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}]

    cluster.after_write = stall
    params = {"namespace": NAMESPACE, "name": "kube-prometheus-stack-operator"}
    plan = planning.make(cluster, registry.get("rollout-restart"), registry.parse("rollout-restart", params))
    run = carry_on(start_run(operator, plan.pk, "click"), cluster)
    assert run.state == RunState.FAILED
    assert len(cluster.ledger) == 1
    assert "Made before it ended: Restart the pods of" in run.sentence


def test_a_transaction_that_fails_leaves_no_line_and_no_state(run: Run) -> None:
    claimed = lease.claim(run.pk, "a")
    assert claimed is not None
    with pytest.raises(ZeroDivisionError), Journal(claimed).write() as entry:
        entry.log("half done")
        entry.run.sentence = "half done"
        raise ZeroDivisionError
    run.refresh_from_db()
    assert run.sentence == "" and not run.lines.filter(text="half done").exists()
    with transaction.atomic():
        assert run.line_count == run.lines.count()


def test_marks_are_read_from_any_object() -> None:
    assert settling.marked({"metadata": {"annotations": {MARK: "R.1"}}}) == "R.1"
    assert settling.marked({"metadata": {}}) == ""
