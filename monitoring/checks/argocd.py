"""Does Argo CD agree that an Application is what Git says and healthy? Read from its custom resource.

Argo CD's own words are kept as they are. When Argo CD itself cannot tell (sync or health *Unknown* with no error), the
check cannot either.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

from integrations.kubernetes.custom import Application, AppResource
from monitoring.checks import claims
from monitoring.checks.base import CheckType, Params, degraded, failing, ref, unknown, verified
from monitoring.checks.text import clean, in_namespace, kubectl, listing, moment, phrase, since
from monitoring.snapshot import Need, Objects, Snapshot
from monitoring.verdict import Verdict

APPLICATIONS = "applications.argoproj.io"
_RUNNING = {"Running", "Terminating"}


class ArgocdApplication(Params, frozen=True):
    """Parameters of ``argocd_application``."""

    name: Annotated[str, Meta(min_length=1, description="the Application")]
    namespace: Annotated[str, Meta(description="its namespace")] = "argocd"


def running(application: Application) -> bool:
    """Whether Argo CD works on an operation of this Application, or was asked to."""
    state = application.status.operation_state
    return application.operation is not None or (state is not None and state.phase in _RUNNING)


def not_live(application: Application) -> list[AppResource]:
    """Objects that Argo CD wants and does not find."""
    return [item for item in application.status.resources if item.health and item.health.status == "Missing"]


def _needs(_: Snapshot, params: ArgocdApplication) -> Iterable[Need]:
    yield Objects(APPLICATIONS, params.namespace)


def _evaluate(snapshot: Snapshot, params: ArgocdApplication, now: datetime) -> Verdict:
    item: Application | None = snapshot.get(APPLICATIONS, params.namespace, params.name)
    if item is None:
        sentence = (
            f"Argo CD has no Application {params.name}{in_namespace(params.namespace)}. Create it again from Git."
        )
        return failing("no_application", sentence, "no such Application")
    sync, health = item.status.sync.status or "Unknown", item.status.health.status or "Unknown"
    state = item.status.operation_state
    missing = not_live(item)
    observed = clean(f"{sync}, {health}", 80)
    facts = {
        "sync": sync,
        "health": health,
        "revision": item.status.sync.revision[:40],
        "phase": state.phase if state else "",
        "objects": len(item.status.resources),
        "not_live": len(missing),
    }
    more: dict[str, Any] = {"facts": facts, "refs": (ref(item, APPLICATIONS),)}
    if item.metadata.deletion_timestamp is not None:
        start = since(item.metadata.deletion_timestamp, now)
        sentence = f"{params.name} is being deleted{start}. Look at what its finalizer waits for."
        return failing("deleting", sentence, "being deleted", **more)
    errors = [found for found in item.status.conditions if found.type in {"ComparisonError", "InvalidSpecError"}]
    if errors:
        start = since(errors[0].last_transition_time, now)
        sentence = (
            f"Argo CD cannot compare {params.name}{start}: {phrase(errors[0].message)}. Correct that, then refresh."
        )
        return failing("comparison_error", sentence, errors[0].type, **more)
    if (sync, health) == ("Synced", "Healthy"):
        return _synced(item, observed, more)
    if running(item):
        return degraded("operation_running", _busy(item, observed, now), observed, **more)
    if "Unknown" in {sync, health} and not {sync, health} & {"OutOfSync", "Degraded", "Missing"}:
        sentence = f"{params.name} reads {observed}: Argo CD cannot tell. Refresh it and look at its controller."
        return unknown("argocd_unknown", sentence, observed, **more)
    if sync == "Synced" and health in {"Progressing", "Suspended"}:
        sentence = f"{params.name} is Synced and {health}. {_advice(health)}"
        return degraded(health.lower(), sentence, observed, **more)
    return failing(
        "out_of_sync" if sync == "OutOfSync" else health.lower(), _bad(item, observed, now), observed, **more
    )


def _synced(item: Application, observed: str, more: dict[str, Any]) -> Verdict:
    total = len(item.status.resources)
    live = f", {total} objects live" if total else ""
    return verified(
        f"Synced, Healthy at {item.status.sync.revision[:12] or 'an unnamed revision'}{live}.", observed, **more
    )


def _busy(item: Application, observed: str, now: datetime) -> str:
    state = item.status.operation_state
    if state is None or state.phase not in _RUNNING:
        return f"{item.metadata.name} reads {observed}; Argo CD was asked for an operation and has not begun it. Wait."
    text = clean(state.message) or "no message yet"
    start = since(state.started_at, now)
    return f"{item.metadata.name} reads {observed} while a sync runs{start}: {text}. Wait for its end."


def _bad(item: Application, observed: str, now: datetime) -> str:
    name, total = item.metadata.name, len(item.status.resources)
    missing = not_live(item)
    parts = [f"{name} reads {observed}"]
    if missing:
        first = f"{missing[0].kind} {missing[0].name}" if len(missing) == 1 else listing(r.name for r in missing)
        verb = "is" if len(missing) == 1 else "are"
        parts.append(f"{len(missing)} of {total} objects {verb} not live ({clean(first, 120)})")
    else:
        drift = [r for r in item.status.resources if r.status == "OutOfSync"]
        ill = [r for r in item.status.resources if r.health and r.health.status == "Degraded"]
        if ill:
            parts.append(f"{listing(f'{r.kind} {r.name}' for r in ill)} Degraded")
        if drift:
            parts.append(f"{len(drift)} of {total} objects differ from Git")
    return f"{': '.join(parts[:2])}{''.join(f', {part}' for part in parts[2:])}.{_last(item, now)}"


def _last(item: Application, now: datetime) -> str:
    state = item.status.operation_state
    if item.status.sync.status == "Synced":
        return " Git is applied, so look at that workload's pods."
    if state is None:
        return " It was never synced: sync it."
    if state.phase in {"Failed", "Error"}:
        at = f" at {moment(state.finished_at, now)}" if state.finished_at else ""
        return f" Its last sync {state.phase.lower()}{at}: {phrase(state.message, 160)}. Remove that cause, then sync."
    return " Sync it, or look at what changed it."


def _advice(health: str) -> str:
    return "Wait for its workloads." if health == "Progressing" else "Resume what was suspended."


def _claim_stuck(_: Any, context: claims.ClaimContext) -> tuple[str, dict[str, Any]] | None:
    if not context.application:
        return None
    return "argocd_application", {"namespace": context.application_namespace, "name": context.application}


def _claim_named(match: Any, context: claims.ClaimContext) -> tuple[str, dict[str, Any]] | None:
    """Only where the line, or the row it stands in, says that it speaks of the Application."""
    said = " ".join((context.text, *context.parents[:1])).lower()
    named = context.application and context.application in said
    return _claim_stuck(match, context) if named or "argocd" in said.replace(" ", "") else None


TYPES = (
    CheckType(
        slug="argocd_application",
        title="Argo CD agrees",
        summary="An Argo CD Application is Synced and Healthy.",
        params=ArgocdApplication,
        needs=_needs,
        evaluate=_evaluate,
        command=lambda p: kubectl("get", "application", p.name, namespace=p.namespace),
        expected=lambda _: "Synced, Healthy",
        source="argocd",
        claims=(
            claims.pattern(
                r"argo\s?cd\s+application\s+(?:is\s+)?(?:stuck|out ?of ?sync|missing|failing)",
                _claim_stuck,
                contrary=("out_of_sync", "missing", "degraded"),
            ),
            claims.pattern(r"argo\s?cd\s+application\s+(?:is\s+)?(?:synced|healthy)", _claim_stuck),
            claims.pattern(r"components? (?:are )?deployed via GitOps", _claim_stuck),
            claims.pattern(r"\bsynced\b(?:\s*(?:[/,&+]|and)\s*healthy\b)?", _claim_named),
            claims.pattern(r"\bout ?of ?sync\b", _claim_named, contrary=("out_of_sync", "missing", "degraded")),
        ),
    ),
)
