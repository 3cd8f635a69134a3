"""A stored plan and a run of it, as the engine leaves them."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import User

from common.clock import now
from deployments.catalogue.action import Blast, CheckSpec, Patch, StepSpec, Verification
from deployments.engine.document import Document, PlannedStep, dump
from deployments.models import LogLine, Plan, Run, Step
from deployments.states import RunState, StepState

HOSTILE = "<script>alert(1)</script>"


def make_plan(*, tier: int = 1, met: bool = True, digest: str = "7f3c91d2" * 8) -> Plan:
    """Two steps, one of which changes two fields and a secret."""
    sync = StepSpec(
        verb="Sync",
        title="Sync Grafana's objects",
        how="merge patch",
        resource="applications.argoproj.io",
        namespace="argocd",
        name="kube-prometheus-stack",
        effect=Patch("merge", {"operation": {}}),
    )
    wait = StepSpec(
        verb="Wait",
        title="Wait for the rollout",
        how="read",
        resource="applications.argoproj.io",
        namespace="argocd",
        name="kube-prometheus-stack",
    )
    diff = (
        {"path": "operation.sync.prune", "before": None, "after": False},
        {"path": "spec.replicas", "before": 1, "after": 2},
        {"path": "spec.source.helm.values:grafana.adminPassword", "before": "hmac:0123456789abcdef", "after": None},
        {"path": 'metadata.annotations["note"]', "before": "old text", "after": HOSTILE},
    )
    key = "is-platform/argoproj.io/Application/argocd/kube-prometheus-stack"
    document = Document(
        steps=(
            PlannedStep(sync, key, diff, command="kubectl patch application kube-prometheus-stack"),
            PlannedStep(wait, key),
        ),
        targets={},
        locks=(key,),
        verification=Verification((CheckSpec("Grafana answers", "grafana_health", {}),), 30, 300),
        undo="Not needed: Git is the desired state.",
        blast=Blast(changed=("Application kube-prometheus-stack",)),
        managed_by="Managed by Argo CD app root-app, selfHeal on.",
    )
    return Plan.objects.create(
        hash=digest,
        cluster="is-platform",
        action="repair-grafana-in-place",
        tier=tier,
        title="Repair Grafana in place",
        document=dump(document),
        created_at=now(),
        preconditions=[{"sentence": "The Application exists", "met": met, "evidence": "read"}],
        rights=[
            {
                "verbs": ["get", "patch"],
                "missing": [],
                "resource": "applications",
                "namespace": "argocd",
                "name": "x",
                "rule": "",
            }
        ],
    )


def make_run(plan: Plan, *, state: RunState = RunState.VERIFYING, lines: int = 5) -> Run:
    """A run whose first step is done."""
    at = now() - timedelta(seconds=60)
    before = {
        "title": "Grafana answers",
        "type": "grafana_health",
        "params": {},
        "word": "failing",
        "sentence": "refused",
    }
    before |= {
        "expected": "database: ok",
        "observed": "connection refused",
        "cause": "",
        "at": at.isoformat(),
        "since": at.isoformat(),
    }
    latest = before | {"word": "verified", "observed": "database: ok", "since": now().isoformat()}
    run = Run.objects.create(
        number=Run.objects.count() + 42,
        plan=plan,
        cluster="is-platform",
        action=plan.action,
        state=state.value,
        state_changed_at=at,
        requested_by=User.objects.get(username="operator"),
        requested_at=at,
        started_at=at,
        idempotency_key=f"{plan.pk[:32]}{'k' * 32}",
        current_step=2,
        before=[before],
        now=[latest],
        holding_since=now() - timedelta(seconds=12),
        line_count=lines,
    )
    for index, step in enumerate(plan.document["steps"]):
        Step.objects.create(
            run=run, index=index, verb=step["spec"]["verb"], title=step["spec"]["title"], target_key=step["target"],
            state=StepState.DONE.value, started_at=at, outcome_at=at + timedelta(seconds=7 * (index + 1)),
        )  # fmt: skip
    LogLine.objects.bulk_create(
        LogLine(run=run, number=n, at=at, step_index=-1 if n == 1 else min(2, n // 3), text=f"line {n} {HOSTILE}")
        for n in range(1, lines + 1)
    )
    return run
