"""What pods, events and logs say while something waits: the story of a run, told once. It decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from deployments.catalogue.seen import Line
from integrations.kubernetes.objects import ContainerStatus, Event, Pod
from monitoring.checks.pods import Trouble, alive, trouble
from monitoring.checks.text import count
from monitoring.snapshot import Logs, Missing, Need, Objects, Snapshot

_LOG_LINES = 5
_EVENT_LINES = 10
#: texts of events that are remembered, and how much of each
_TEXTS, _TEXT = 60, 200


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
    events, seen, times = _events(snapshot, args, {pod.metadata.name for pod in pods}, memory)
    logs, heads = _logs(snapshot, args, pods, memory)
    return (*lines, *events, *logs), {**memory, "pods": told, "events": seen, "times": times, "logs": heads}


def held_up(snapshot: Snapshot, args: Mapping[str, Any]) -> str:
    """:func:`held_up_by` of the pods of a wait with a ``selector``."""
    return held_up_by(_pods(snapshot, args)) if args.get("selector") else ""


def held_up_by(pods: Iterable[Pod]) -> str:
    """Which pod a wait waits for and why, as a sentence with a space before it; nothing while none is in trouble. Of
    several the youngest is named: that is the one this run made."""
    stuck = [(pod, found) for pod in pods if (found := _stuck(pod)) is not None]
    if not stuck:
        return ""
    # in two steps: the newest first, of one age by name
    stuck.sort(key=lambda one: one[0].metadata.name)
    stuck.sort(key=lambda one: _made(one[0]), reverse=True)
    pod, found = stuck[0]
    alike = sum(1 for _, other in stuck if other.reason == found.reason) - 1
    more = f" {count(alike, 'other pod')} the same." if alike else ""
    return f" Pod {pod.metadata.name}: {found.sentence.rstrip('. ')}.{more}"


def _stuck(pod: Pod) -> Trouble | None:
    """What keeps a pod from being ready; None while it is only starting, or ends anyway."""
    found = trouble(pod) if alive(pod) else None
    starting = found is not None and found.reason == "NotReady" and pod.status.phase != "Running"
    return None if starting else found


def _made(pod: Pod) -> float:
    at = pod.metadata.creation_timestamp
    return at.timestamp() if at is not None else 0.0


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
) -> tuple[list[Line], list[str] | None, dict[str, list[Any]]]:
    """New events, the keys of all (no keys while events were never read), and how often each text was met and said.

    A text that comes again is said at its 2nd, 4th, 8th … time, with how often it came between when and when: a probe
    that fails every ten seconds is one fact, and the log keeps its numbers.
    """
    times: dict[str, list[Any]] = {text: list(known) for text, known in memory.get("times", {}).items()}
    try:
        found: list[Event] = snapshot.objects("events", args["namespace"])
    except Missing:
        return [], memory.get("events"), times
    mine = [e for e in found if e.involved_object.name in pods or e.involved_object.name == args["name"]]
    keys = [f"{e.metadata.uid}:{e.count or 1}" for e in mine]
    if memory.get("events") is None:  # the first look: what happened before is not this run's story
        return [], keys, times
    counted = {uid: int(times_seen) for uid, _, times_seen in (key.rpartition(":") for key in memory["events"])}
    fresh = sorted((e for e in mine if counted.get(e.metadata.uid) != (e.count or 1)), key=_at)
    lines = []
    for event in fresh[:_EVENT_LINES]:
        rise = max(1, (event.count or 1) - counted.get(event.metadata.uid, 0))
        line = _again(times, event, rise)
        if line is not None:
            lines.append(line)
    return lines, keys, dict(list(times.items())[-_TEXTS:])


def _again(times: dict[str, list[Any]], event: Event, rise: int) -> Line | None:
    """The line of an event that came ``rise`` times more; None: it was said lately. ``times`` is brought up to date."""
    text = f"event {event.reason} {event.involved_object.name}: {event.message}"
    key = text[:_TEXT]
    met, said, first = times.pop(key, (0, 0, _first(event)))
    met += rise
    say = said == 0 or met >= 2 * said
    times[key] = [met, met if say else said, first]
    if not say:
        return None
    last = _at(event)
    often = f" (×{met}, {first[11:19]} to {last[11:19]})" if met > 1 and first and last else ""
    return Line(text + often, "warn" if event.type == "Warning" else "info")


def _first(event: Event) -> str:
    when = event.first_timestamp or event.event_time or event.last_timestamp or event.metadata.creation_timestamp
    return when.isoformat() if when else ""


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
