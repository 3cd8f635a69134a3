"""What is the matter with a pod, in one reason and one sentence. Shared by checks and diagnosis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from integrations.kubernetes.objects import ContainerStatus, Pod
from integrations.kubernetes.parts import Condition
from monitoring.checks.text import clean, count


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a pod is not ready. ``since`` only when an object says so."""

    reason: str
    sentence: str
    container: str = ""
    since: datetime | None = None


def matching(pods: Sequence[Pod], labels: Mapping[str, str]) -> list[Pod]:
    """Pods that carry all these labels; none when there are no labels."""
    return [pod for pod in pods if labels and labels.items() <= pod.metadata.labels.items()]


def alive(pod: Pod) -> bool:
    """Whether the pod counts: it has not ended and is not being deleted."""
    return pod.metadata.deletion_timestamp is None and pod.status.phase not in {"Succeeded", "Failed"}


def condition(pod_conditions: Sequence[Condition], kind: str) -> Condition | None:
    return next((item for item in pod_conditions if item.type == kind), None)


def is_ready(pod: Pod) -> bool:
    ready = condition(pod.status.conditions, "Ready")
    return alive(pod) and ready is not None and ready.status == "True"


def statuses(pod: Pod) -> list[ContainerStatus]:
    """Init containers first, then containers: the order in which they start."""
    return [*pod.status.init_container_statuses, *pod.status.container_statuses]


def restarts(pod: Pod) -> int:
    return sum(status.restart_count for status in pod.status.container_statuses)


def containers_ready(pod: Pod) -> str:
    """``2/2``, as kubectl prints it."""
    total = len(pod.status.container_statuses) or len(pod.spec.containers)
    return f"{sum(status.ready for status in pod.status.container_statuses)}/{total}"


def trouble(pod: Pod) -> Trouble | None:
    """Why this pod is not ready, or None when it is."""
    if is_ready(pod):
        return None
    if pod.metadata.deletion_timestamp is not None:
        return Trouble("Terminating", f"{pod.metadata.name} is being deleted")
    scheduled = condition(pod.status.conditions, "PodScheduled")
    if scheduled is not None and scheduled.status == "False":
        return Trouble(
            scheduled.reason or "Unschedulable",
            f"no node takes it: {clean(scheduled.message)}",
            since=scheduled.last_transition_time,
        )
    ready = condition(pod.status.conditions, "Ready")
    at = ready.last_transition_time if ready else None
    for status in statuses(pod):
        found = _container_trouble(status, at)
        if found is not None:
            return found
    if pod.status.phase == "Failed":
        return Trouble(pod.status.reason or "Failed", clean(pod.status.message) or "the pod failed")
    waiting = [status.name for status in pod.status.container_statuses if not status.ready]
    names = ", ".join(waiting) or "the pod"
    return Trouble("NotReady", f"{names} runs but does not pass its readiness probe", waiting[0] if waiting else "", at)


def _container_trouble(status: ContainerStatus, at: datetime | None) -> Trouble | None:
    waiting, ended, last = status.state.waiting, status.state.terminated, status.last_state.terminated
    if waiting is not None and waiting.reason not in {"", "ContainerCreating", "PodInitializing"}:
        why = clean(waiting.message)
        if waiting.reason == "CrashLoopBackOff":
            code = f" with exit code {last.exit_code}" if last else ""
            word = f" ({last.reason})" if last and last.reason not in {"", "Error", "Completed"} else ""
            why = f"ended {count(status.restart_count, 'time')}, last{code}{word}"
        text = f"{status.name} waits in {waiting.reason}{': ' + why if why else ''}"
        return Trouble(waiting.reason, text, status.name, at)
    if ended is not None and (ended.exit_code or ended.reason not in {"", "Completed"}):
        reason = ended.reason or "Error"
        text = f"{status.name} ended with exit code {ended.exit_code} ({reason})"
        return Trouble(reason, text, status.name, at or ended.finished_at)
    return None
