"""What a container's status says, in words. Shared by signatures."""

from __future__ import annotations

from datetime import datetime

from integrations.kubernetes.objects import Workload
from monitoring.checks.text import clean, count
from monitoring.diagnosis.remedies import ROLLBACK, Remedy, remedy
from monitoring.diagnosis.scene import Bad, Scene

# https://tldp.org/LDP/abs/html/exitcodes.html: 128 + a signal's number
_CODES = {
    0: "it ended as if its work were done",
    1: "the program ended with an error of its own",
    2: "the program did not accept how it was called",
    126: "the command may not be executed",
    127: "the command is not in the image",
    128: "the container could not be started",
    132: "illegal instruction: built for another processor",
    134: "it aborted itself",
    137: "it was killed (SIGKILL)",
    139: "it crashed (segmentation fault)",
    143: "it was asked to end (SIGTERM)",
}


def code_in_words(code: int) -> str:
    """What an exit code means, or nothing."""
    return _CODES.get(code, "")


def ended_at(bad: Bad) -> datetime | None:
    """When the container's last run ended."""
    last = bad.status.last_state.terminated or bad.status.state.terminated
    return last.finished_at if last else None


def state_of(bad: Bad) -> str:
    """``pod grafana: CrashLoopBackOff, 6 restarts, last exit code 1``."""
    last = bad.last
    now = "running" if bad.status.state.running else "ended"
    parts = [clean(bad.waiting, 60) or now]
    if bad.status.restart_count:
        parts.append(count(bad.status.restart_count, "restart"))
    if last is not None:
        parts.append(f"last exit code {last.exit_code}{f' ({clean(last.reason, 60)})' if last.reason else ''}")
    return f"{clean(bad.pod.metadata.name, 120)} {clean(bad.name, 60)}: {', '.join(parts)}"


def workload_of(scene: Scene, bad: Bad) -> tuple[str, Workload] | None:
    """The workload a container belongs to."""
    return scene.owner_of(bad.pod)


def rollback(scene: Scene, bad: Bad) -> tuple[Remedy, ...]:
    """Going back to the template before, when there is one: only a Deployment that has been changed has one."""
    owner = workload_of(scene, bad)
    if owner is None or owner[0] != "Deployment":
        return ()
    item = owner[1]
    revision = item.metadata.annotations.get("deployment.kubernetes.io/revision", "")
    if not revision.isdigit() or int(revision) < 2:
        return ()
    return (remedy(ROLLBACK, namespace=item.metadata.namespace, name=item.metadata.name),)


def rollout_words(scene: Scene, bad: Bad) -> str:
    """``Deployment x is at revision 4`` as evidence, or nothing."""
    owner = workload_of(scene, bad)
    revision = owner[1].metadata.annotations.get("deployment.kubernetes.io/revision", "") if owner else ""
    return f"{owner[0]} {owner[1].metadata.name} is at revision {clean(revision, 10)}" if owner and revision else ""
