"""Have the containers of some pods stayed up? A restart counts for a while, so the word changes by time alone."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated

from msgspec import Meta

from integrations.kubernetes.objects import ContainerStatus, Pod
from monitoring.checks.base import CheckType, Params, failing, ref, unknown, verified
from monitoring.checks.pods import alive, restarts
from monitoring.checks.quantities import parse_duration
from monitoring.checks.text import count, kubectl, span, spelled
from monitoring.snapshot import Need, Objects, Snapshot
from monitoring.verdict import Verdict


class NoRestarts(Params, frozen=True):
    """Parameters of ``no_restarts``."""

    namespace: Annotated[str, Meta(min_length=1, description="where the pods are")]
    selector: Annotated[str, Meta(description="labels of the pods; empty is all of the namespace")] = ""
    within: Annotated[str, Meta(description="how far back a restart counts")] = "10m"
    maximum: Annotated[int, Meta(ge=0, description="restarts that are tolerated in that time")] = 0

    def __post_init__(self) -> None:
        parse_duration(self.within)


def _needs(_: Snapshot, params: NoRestarts) -> Iterable[Need]:
    yield Objects("pods", params.namespace)


def _evaluate(snapshot: Snapshot, params: NoRestarts, now: datetime) -> Verdict:
    pods: list[Pod] = [pod for pod in snapshot.objects("pods", params.namespace, params.selector) if alive(pod)]
    title = spelled(params.selector, f"namespace {params.namespace}")
    window = parse_duration(params.within)
    if not pods:
        sentence = f"{title} has no pod in {params.namespace}, so nothing stays up. Bring its workload back first."
        return failing("no_pod", sentence, "no pod", facts={"pods": 0, "restarts": 0})
    recent: list[tuple[datetime, Pod, str, int]] = []
    for pod in pods:
        for status in pod.status.container_statuses:
            at = _last_restart(status)
            if status.restart_count and at is not None and now - at <= timedelta(seconds=window):
                recent.append((at, pod, status.name, status.restart_count))
    refs = tuple(ref(pod, "pods") for pod in pods[:5])
    total = sum(restarts(pod) for pod in pods)
    facts = {"pods": len(pods), "restarts": total, "recent": len(recent)}
    if len(recent) > params.maximum:
        at, pod, name, times = max(recent, key=lambda found: found[0])
        sentence = (
            f"{name} in {pod.metadata.name} restarted at {at:%H:%M}, {count(times, 'time')} in all. Read its last log: "
            f"{kubectl('logs', pod.metadata.name, '-c', name, '--previous', namespace=params.namespace)}"
        )
        observed = f"{count(len(recent), 'container')} restarted in {span(window)}"
        return failing("restarting", sentence, observed, facts=facts, refs=refs)
    young = [pod for pod in pods if pod.status.start_time is None]
    if young:
        sentence = f"{young[0].metadata.name} has not started yet, so nobody can tell whether it stays up. Wait for it."
        return unknown("not_started", sentence, "not started", facts=facts, refs=refs)
    ago = f", {count(total, 'restart')} before that" if total else ""
    return verified(f"No restart in {span(window)}{ago}.", f"0 in {span(window)}", facts=facts, refs=refs)


def _last_restart(status: ContainerStatus) -> datetime | None:
    times = (
        status.state.running.started_at if status.state.running else None,
        status.state.terminated.finished_at if status.state.terminated else None,
        status.last_state.terminated.finished_at if status.last_state.terminated else None,
    )
    return max((at for at in times if at is not None), default=None)


TYPES = (
    CheckType(
        slug="no_restarts",
        title="Stays up",
        summary="No container of these pods restarted lately.",
        params=NoRestarts,
        needs=_needs,
        evaluate=_evaluate,
        command=lambda p: kubectl("get", "pods", namespace=p.namespace, labels=p.selector),
        expected=lambda p: f"no restart in {span(parse_duration(p.within))}",
        poll_seconds=15,
    ),
)
