"""The steps that repair Grafana in place, and the condition of theirs. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from deployments.catalogue.action import MARK, CheckSpec, Condition, Patch, StepSpec, Verification
from deployments.catalogue.argo import calls, reading, waits
from deployments.catalogue.dashboards import owning, secret
from deployments.catalogue.dashboards.repair_values import Change
from deployments.catalogue.dashboards.standalone_set import SECRET
from deployments.catalogue.seen import Line, Outlook, Seen
from deployments.catalogue.workloads import rollout
from integrations.kubernetes.custom import Application, AppResource
from monitoring.snapshot import Snapshot

_DONE = "argocd_operation_done"
#: how ``rolled_out`` says that a rollout takes too long
_DEADLINE = "The rollout passed its deadline"
#: Argo CD neither prunes an object with these nor counts it as a difference
KEPT = {
    "argocd.argoproj.io/sync-options": "Prune=false",
    "argocd.argoproj.io/compare-options": "IgnoreExtraneous",
}


def steps(snapshot: Snapshot, owner: owning.Owner, change: Change, rollout_seconds: int) -> Iterable[StepSpec]:
    """The steps. Without a change of values: refresh, compare, sync of Grafana's objects, rollout, full sync."""
    app = owner.app
    where = {"namespace": app.metadata.namespace, "name": app.metadata.name}
    step = partial(StepSpec, resource=calls.APPLICATIONS, namespace=app.metadata.namespace, name=app.metadata.name)
    if reading.is_stuck(app, snapshot.taken_at):
        yield step(
            verb="terminate",
            title="Terminate the stuck operation",
            how="merge patch",
            timeout_seconds=180,
            effect=calls.terminate_patch(),
            guards=(Condition("argocd_running", where),),
            until=Condition("argocd_idle", where),
            irreversible=True,
        )
    yield from _values(owner, change)
    yield step(
        verb="refresh",
        title=f"Refresh {app.metadata.name}, hard",
        how="merge patch",
        timeout_seconds=180,
        effect=calls.refresh_patch(),
        until=Condition("argocd_refreshed", where),
    )
    compared = "grafana_only_differs" if change.edits else "argocd_only_differs"
    only = Condition(compared, {**where, "base": owner.base})
    yield step(
        verb="compare",
        title=f"Compare: stop unless only {owner.base} differs",
        how="read",
        timeout_seconds=60,
        until=only,
    )
    if change.edits:
        # in parts it would not do: the change may render objects that Argo CD has not listed yet
        yield _sync(owner, "Sync everything once, prune off", [], only, done="grafana_sync_done")
        yield rollout_step(owner, rollout_seconds, "grafana_comes_up")
        yield _sync(owner, "Sync everything again, so that it enters history", [], only)
        return
    yield _sync(owner, f"Sync {len(owner.resources)} Grafana objects, prune off", owner.resources, only)
    yield rollout_step(owner, rollout_seconds, "rolled_out")
    yield _sync(owner, "Sync everything once, so that it enters history", [], only)


def _values(owner: owning.Owner, change: Change) -> Iterable[StepSpec]:
    """What a change of values needs around it, and the change itself."""
    app = owner.app
    if change.live is None:
        return
    if change.makes_secret:
        yield secret.step(owner.namespace, SECRET, kept=True)
    claim = claim_of(owner)
    if claim and f"PersistentVolumeClaim {claim}" in change.dropped(owner.base) and prunes(app):
        yield StepSpec(
            verb="keep",
            title=f"Keep claim {claim}: Argo CD would prune it with all that people made in Grafana",
            how="merge patch",
            resource="persistentvolumeclaims",
            namespace=owner.namespace,
            name=claim,
            effect=Patch("merge", {"metadata": {"annotations": {**KEPT, MARK: "${run.mark}"}}}),
        )
    where = {"namespace": app.metadata.namespace, "name": app.metadata.name}
    yield StepSpec(
        verb="values",
        title=f"Change {len(change.edits)} Helm values of {app.metadata.name}",
        how="merge patch",
        resource=calls.APPLICATIONS,
        namespace=where["namespace"],
        name=where["name"],
        effect=change.live,
        guards=(Condition("argocd_idle", where),),
        timeout_seconds=300,
    )
    if change.recreates:
        yield from _strategy(owner)


def _strategy(owner: owning.Owner) -> Iterable[StepSpec]:
    """The server refuses Recreate beside the fields it filled in for RollingUpdate (facts: K22). After the values, else
    Argo CD would set it back; a sync that starts in between is refused whole and tried again."""
    there = [
        r for r in owner.resources if (r.group, r.kind) == ("apps", "Deployment") and reading.describe(r) != "missing"
    ]
    for r in there:
        body = {
            "metadata": {"annotations": {MARK: "${run.mark}"}},
            "spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}},
        }
        yield StepSpec(
            verb="strategy",
            title=f"Let {r.name} end its old pod before the new one starts",
            how="strategic merge patch",
            resource="deployments.apps",
            namespace=r.namespace,
            name=r.name,
            effect=Patch("strategic", body),
        )


def claim_of(owner: owning.Owner) -> str:
    """The claim that the chart renders for Grafana's data; empty when it renders none."""
    claims = (r.name for r in owner.app.status.resources if r.kind == "PersistentVolumeClaim")
    return next((name for name in claims if name == owner.base), "")


def prunes(app: Application) -> bool:
    """Whether Argo CD deletes by itself what Git no longer has."""
    automated = app.spec.sync_policy.automated
    return reading.is_automated(app) and automated is not None and automated.prune


def _sync(
    owner: owning.Owner,
    title: str,
    resources: list[AppResource],
    only: Condition,
    *,
    done: str = _DONE,
) -> StepSpec:
    """One operation of Argo CD, started only while none runs and nothing but Grafana differs."""
    where = {"namespace": owner.app.metadata.namespace, "name": owner.app.metadata.name}
    return StepSpec(
        verb="sync",
        title=title,
        how="Argo CD",
        resource=calls.APPLICATIONS,
        namespace=where["namespace"],
        name=where["name"],
        timeout_seconds=600,
        effect=calls.sync_patch(owner.app, resources),
        guards=(Condition("argocd_idle", where), only),
        until=Condition(done, {**where, "mark": "${run.mark}", **({} if done == _DONE else {"base": owner.base})}),
    )


def rollout_step(owner: owning.Owner, seconds: int, condition: str) -> StepSpec:
    """Wait until Grafana's Deployment is as wanted."""
    selector = f"app.kubernetes.io/instance={owner.release},app.kubernetes.io/name=grafana"
    where = {"namespace": owner.namespace, "name": owner.base}
    return StepSpec(
        verb="wait",
        title=f"Wait for the rollout of {owner.base}",
        how="read",
        resource="deployments.apps",
        namespace=owner.namespace,
        name=owner.base,
        timeout_seconds=seconds,
        until=Condition(condition, {**where, "selector": selector}),
    )


def verification(owner: owning.Owner, hold_seconds: int, verify_seconds: int) -> Verification:
    """Ready, behind its Service, answering, and Argo CD agrees."""
    app = owner.app.metadata
    selector = "app.kubernetes.io/name=grafana"
    return Verification(
        checks=(
            CheckSpec(
                "Workload is ready",
                "workload_ready",
                {"namespace": owner.namespace, "selector": selector, "kind": "Deployment"},
            ),
            CheckSpec(
                "Service has endpoints", "service_has_endpoints", {"namespace": owner.namespace, "selector": selector}
            ),
            CheckSpec("Grafana answers", "grafana_health", {"namespace": owner.namespace}),
            CheckSpec("Argo CD agrees", "argocd_application", {"namespace": app.namespace, "name": app.name}),
        ),
        hold_seconds=hold_seconds,
        timeout_seconds=max(verify_seconds, hold_seconds + 5),
    )


# -- conditions


def only_grafana(snapshot: Snapshot, args: Mapping[str, Any], _memory: Mapping[str, Any]) -> Seen:
    """Nothing but the objects named ``base`` or ``base-…`` differs from Git, or would be pruned."""
    app = snapshot.get(calls.APPLICATIONS, args["namespace"], args["name"])
    if not isinstance(app, Application):
        return Seen(Outlook.REFUSED, f"Application {args['name']} is not there any more.")
    errors = [c for c in app.status.conditions if c.type in ("ComparisonError", "InvalidSpecError")]
    if errors:
        return Seen(Outlook.REFUSED, f"Argo CD cannot compare {args['name']} with Git: {errors[0].message}")
    if app.status.sync.status not in ("Synced", "OutOfSync"):
        return Seen(Outlook.NOT_YET, f"Argo CD does not know yet how {args['name']} compares with Git.")
    differ = reading.differing(app)
    others = [f"{r.kind} {r.name}" for r in differ if not reading.belongs(r.name, args["base"])]
    if others:
        named = ", ".join(others[:4])
        return Seen(Outlook.REFUSED, f"Other objects than {args['base']} differ from Git as well: {named}; look first.")
    lines = tuple(
        Line(f"differs from Git: {r.kind} {r.name} ({'to prune' if r.requires_pruning else reading.describe(r)})")
        for r in differ
    )
    said = f"Only {args['base']} objects differ from Git ({len(differ)})." if differ else "Nothing differs from Git."
    return Seen(Outlook.MET, said, lines)


def comes_up(snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]) -> Seen:
    """As ``rolled_out``, but a deadline that passed is waited over: it passed before the cause was put right, and a
    container that crashed is started again by itself, within five minutes."""
    seen = rollout.rolled_out(snapshot, args, memory)
    if seen.outlook == Outlook.FAILED and seen.sentence.startswith(_DEADLINE):
        said = f"{seen.sentence} That was before this change; waiting for the next start."
        return Seen(Outlook.NOT_YET, said, seen.lines, seen.memory)
    return seen


def sync_done(snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]) -> Seen:
    """As ``argocd_operation_done``, but a sync that failed only over the health of Grafana's Deployment is over too:
    it crashed until now, so it is degraded, and with hooks in the chart Argo CD fails a sync over that although
    everything was applied (gitops-engine ``sync_context.go``: a step is failed when its live object is Degraded)."""
    seen = waits.operation_done(snapshot, args, memory)
    app = waits.application(snapshot, args)
    state = app.status.operation_state if app is not None else None
    if seen.outlook != Outlook.FAILED or state is None or state.phase != "Failed" or state.sync_result is None:
        return seen
    bad = [r for r in state.sync_result.resources or [] if waits.failed(r)]
    if not bad or not all(
        (r.kind, r.name, r.status, r.hook_type) == ("Deployment", args["base"], "Synced", "") for r in bad
    ):
        return seen
    said = f"Everything was applied; Argo CD calls the sync failed because {args['base']} was still degraded."
    return Seen(Outlook.MET, said, (*seen.lines, Line(f"{said} Waiting for its next start.", "warn")), seen.memory)
