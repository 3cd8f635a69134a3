"""What pods, events and logs say while something waits: the story of a run, told once. It decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from deployments.catalogue.seen import Line
from integrations.kubernetes.objects import ContainerStatus, Event, Pod
from monitoring.snapshot import Logs, Missing, Need, Objects, Snapshot

_LOG_LINES = 5
_EVENT_LINES = 10


def needs(snapshot: Snapshot, args: Mapping[str, Any]) -> Iterable[Need]:
    """With a ``selector``: its pods, the namespace's events, and the log of each container that is not ready."""
    namespace = args["namespace"]
    if args.get("selector"):
        yield Objects("pods", namespace, args["selector"])
        yield Objects("events", namespace)
        for pod in _pods(snapshot, args):
            yield from (Logs(namespace, pod.metadata.name, s.name, tail=_LOG_LINES) for s in _starting(pod))


def tell(
    snapshot: Snapshot, args: Mapping[str, Any], memory: Mapping[str, Any]
) -> tuple[tuple[Line, ...], dict[str, Any]]:
    """What changed since the last look: pods, their events, their logs."""
    if not args.get("selector"):
        return (), dict(memory)
    told: dict[str, str] = dict(memory.get("pods", {}))
    lines: list[Line] = []
    pods = _pods(snapshot, args)
    for pod in pods:
        state, level = _pod_state(pod)
        if told.get(pod.metadata.name) != state:
            lines.append(Line(f"pod {pod.metadata.name}: {state}", level))
            told[pod.metadata.name] = state
    events, seen = _events(snapshot, args, {pod.metadata.name for pod in pods}, memory)
    logs, heads = _logs(snapshot, args, pods, memory)
    return (*lines, *events, *logs), {**memory, "pods": told, "events": seen, "logs": heads}


def _pods(snapshot: Snapshot, args: Mapping[str, Any]) -> list[Pod]:
    """Pods, or none while they were not read: they only tell the story, they decide nothing."""
    try:
        return snapshot.objects("pods", args["namespace"], args.get("selector", ""))
    except Missing:
        return []


def _starting(pod: Pod) -> list[ContainerStatus]:
    """Containers that started and are not ready: they have a log worth reading."""
    statuses = [*pod.status.init_container_statuses, *pod.status.container_statuses]
    return [s for s in statuses if not s.ready and (s.state.running is not None or s.state.terminated is not None)][:3]


def _pod_state(pod: Pod) -> tuple[str, str]:
    statuses = pod.status.container_statuses
    for status in (*pod.status.init_container_statuses, *statuses):
        waiting = status.state.waiting
        if waiting is not None and waiting.reason not in ("", "ContainerCreating", "PodInitializing"):
            return f"{status.name} {waiting.reason}: {waiting.message}".rstrip(": "), "warn"
    ready = sum(1 for s in statuses if s.ready)
    where = f" on {pod.spec.node_name}" if pod.spec.node_name else ", not scheduled"
    restarts = sum(s.restart_count for s in statuses)
    word = "ready" if statuses and ready == len(statuses) else pod.status.phase or "Pending"
    counted = f", {ready} of {len(statuses)} containers ready" if statuses and ready < len(statuses) else ""
    again = f", {restarts} restart{'s' if restarts != 1 else ''}" if restarts else ""
    return f"{word}{where}{counted}{again}", "good" if word == "ready" else "info"


def _events(
    snapshot: Snapshot, args: Mapping[str, Any], pods: set[str], memory: Mapping[str, Any]
) -> tuple[list[Line], list[str] | None]:
    """New events and the keys of all; no keys while events were never read."""
    try:
        found: list[Event] = snapshot.objects("events", args["namespace"])
    except Missing:
        return [], memory.get("events")
    mine = [e for e in found if e.involved_object.name in pods or e.involved_object.name == args["name"]]
    keys = [f"{e.metadata.uid}:{e.count or 1}" for e in mine]
    if memory.get("events") is None:  # the first look: what happened before is not this run's story
        return [], keys
    known = set(memory["events"])
    fresh = sorted(
        ((e, key) for e, key in zip(mine, keys, strict=True) if key not in known), key=lambda pair: _at(pair[0])
    )
    lines = [
        Line(f"event {e.reason} {e.involved_object.name}: {e.message}", "warn" if e.type == "Warning" else "info")
        for e, _ in fresh[:_EVENT_LINES]
    ]
    return lines, keys


def _at(event: Event) -> str:
    when: datetime | None = event.last_timestamp or event.event_time or event.metadata.creation_timestamp
    return when.isoformat() if when else ""


def _logs(
    snapshot: Snapshot, args: Mapping[str, Any], pods: Iterable[Pod], memory: Mapping[str, Any]
) -> tuple[list[Line], dict[str, str]]:
    heads: dict[str, str] = dict(memory.get("logs", {}))
    lines: list[Line] = []
    for pod in pods:
        for status in _starting(pod):
            reply = snapshot.replies.get(Logs(args["namespace"], pod.metadata.name, status.name, tail=_LOG_LINES))
            text = [str(line) for line in (reply.body or [])] if reply is not None and reply.status else []
            key = f"{pod.metadata.name}/{status.name}"
            last = heads.get(key)
            new = text[text.index(last) + 1 :] if last in text else text
            lines += [Line(f"{status.name}: {line}", "cluster") for line in new]
            if text:
                heads[key] = text[-1]
    return lines, heads
