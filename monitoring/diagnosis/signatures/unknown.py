"""U0, U1: honest answers. It is not well for a while and no signature knows why, or it could not be looked at."""

from __future__ import annotations

from integrations.kubernetes.objects import Pod
from monitoring.checks.pods import statuses, trouble
from monitoring.checks.text import clean, listing, phrase
from monitoring.diagnosis.base import Layer, Signature, event_line, finding, from_then, log_line, older
from monitoring.diagnosis.containers import code_in_words, ended_at, rollback, rollout_words, state_of
from monitoring.diagnosis.logs import last_words
from monitoring.diagnosis.scene import Bad, Scene, begun, settled
from monitoring.verdict import Finding

#: a pod may take this long before not being ready is a fault nobody knows
_STARTING = 120
#: a container that is ready again must have fallen so often before it is worth a word
_OFTEN = 3
_MADE = {"ContainerCreating", "PodInitializing"}


def crashes(scene: Scene) -> Finding | None:
    """U0: it ends again and again, and its last words name nothing we know."""
    for bad in scene.bad:
        again = bad.waiting == "CrashLoopBackOff" or (bad.crashes and bad.status.restart_count > 0)
        if not again or (bad.recovered and bad.status.restart_count < _OFTEN):
            continue
        last = bad.last
        code = last.exit_code if last else 0
        meaning = code_in_words(code)
        told = last_words(bad.lines)
        words = f"{clean(bad.name, 60)} of {clean(bad.pod.metadata.name, 120)} ends again and again"
        words += f" with exit code {code}" if last else ""
        words += f" ({meaning})" if meaning else ""
        read = (
            "What it said last is below" if told else "It said nothing before it ended" if bad.lines else _unread(scene)
        )
        return finding(
            "U0",
            "crash_for_an_unknown_reason",
            "It ends again and again, and no known cause fits",
            f"{words}, and no known failure fits. {read}.",
            (
                state_of(bad),
                *(log_line(bad.name, line) for line in told),
                f"termination message: {clean(last.message, 300)}" if last and last.message else "",
                *(event_line(scene, event) for event in scene.events_of(bad.pod.metadata.name)[-2:]),
                rollout_words(scene, bad),
            ),
            0.2 if told else 0.1,
            remedies=rollback(scene, bad),
            at=ended_at(bad),
        )
    return None


def _unread(scene: Scene) -> str:
    gap = next((gap for gap in scene.unread if "log" in gap.lower()), "")
    return f"Its log could not be read: {phrase(gap, 200)}" if gap else "Its log could not be read"


def not_ready(scene: Scene) -> Finding | None:
    """U0: not ready for a while, and no signature knows why."""
    if not scene.short and not (scene.pods and not scene.workloads):
        return None
    if crashes(scene) is not None:
        return None
    for pod in scene.pods:
        found = trouble(pod)
        if found is None or found.reason == "Terminating" or not older(scene, begun(pod), _STARTING):
            continue
        creating = _creating(scene, pod)
        if creating is not None:
            return creating
        bad = next((each for each in scene.bad if each.pod is pod and each.name == found.container), None)
        told = last_words(bad.lines) if bad else []
        events = [event for event in scene.events_of(pod.metadata.name) if event.type != "Normal"]
        return finding(
            "U0",
            "not_recognised",
            "Not ready, and no known cause fits",
            f"{_called(scene, bad)} is not ready and no known failure fits: {phrase(found.sentence)}. Read the log of "
            f"{clean(found.container, 60) or 'its pod'}.",
            (
                f"{pod.metadata.name}: {clean(found.sentence)}",
                *(event_line(scene, event) for event in events[-2:]),
                *(log_line(found.container, line) for line in told),
            ),
            0.1,
        )
    return None


def _creating(scene: Scene, pod: Pod) -> Finding | None:
    """Its containers wait to be made, and nobody says for what: the API server keeps events for an hour."""
    waiting = [s for s in statuses(pod) if s.state.waiting and s.state.waiting.reason in _MADE]
    if not waiting or any(s.state.running for s in statuses(pod)):
        return None
    events = [event for event in scene.events_of(pod.metadata.name) if event.type != "Normal"]
    where = f" on {clean(pod.spec.node_name, 80)}" if pod.spec.node_name else ""
    return finding(
        "U0",
        "still_being_created",
        "Its containers are not made, and no known cause fits",
        f"{pod.metadata.name} is still being created{where}{from_then(scene, begun(pod))}, and nothing that was read "
        "says "
        "why. Look at the kubelet of that node, at the pod's volumes and at its network; events are kept for an hour.",
        (
            f"{pod.metadata.name}: {listing(f'{s.name} {s.state.waiting.reason}' for s in waiting if s.state.waiting)}",
            f"node {clean(pod.spec.node_name, 80) or 'none'}",
            *(event_line(scene, event) for event in events[-2:]),
        ),
        0.15,
        at=begun(pod),
    )


def _called(scene: Scene, bad: Bad | None) -> str:
    return scene.called(bad) if bad is not None else scene.title


def late(scene: Scene) -> Finding | None:
    """U0: past its deadline, with no pod that shows why."""
    if scene.bad:
        return None
    for kind, item in scene.workloads:
        for found in item.status.conditions:
            if found.type == "Progressing" and found.status == "False" and not settled(item):
                return finding(
                    "U0",
                    "past_its_deadline",
                    "The rollout is past its deadline, and nothing shows why",
                    f"{kind} {item.metadata.name} does not get on: {phrase(found.message)}. Look at the events of its "
                    "ReplicaSets.",
                    (
                        f"{kind} {item.metadata.name} Progressing=False ({clean(found.reason, 60)}): "
                        f"{clean(found.message)}",
                    ),
                    0.2,
                    at=found.last_transition_time,
                )
    return None


def not_looked_at(scene: Scene) -> Finding | None:
    """U1: the workload is seen to be short, and what would say why may not be read."""
    if not scene.short or scene.bad or not scene.unread:
        return None
    if scene.known("pods", scene.namespace) and scene.known("events", scene.namespace):
        return None
    kind, item = next((kind, item) for kind, item in scene.workloads if not settled(item))
    return finding(
        "U1",
        "not_allowed_to_look",
        "It is not well, and why could not be looked at",
        f"{kind} {item.metadata.name} has not the ready pods it wants, and the portal could not read what would say "
        "why: "
        f"{listing(phrase(gap, 160) for gap in scene.unread)}. Give its account the right to read that.",
        (
            f"{kind} {item.metadata.name}: {item.status.ready_replicas or item.status.number_ready} ready",
            *(f"not read: {clean(gap, 300)}" for gap in scene.unread),
        ),
        0.3,
    )


_PAGE = "https://kubernetes.io/docs/tasks/debug/debug-application/debug-pods/"
SIGNATURES = (
    Signature("U0", Layer.UNKNOWN, "A container ends again and again for a reason nobody knows.", _PAGE, crashes),
    Signature("U0", Layer.UNKNOWN, "A pod is not ready for a while, and no signature fits.", _PAGE, not_ready),
    Signature("U0", Layer.UNKNOWN, "A rollout is past its deadline, and no pod shows why.", _PAGE, late),
    Signature(
        "U1", Layer.UNKNOWN, "It is not well, and the portal may not read what would say why.", _PAGE, not_looked_at
    ),
)
