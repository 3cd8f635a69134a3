"""G8 and W5: what its probes do to a container. A connection that is refused is only said by the probe, never a cause:
nothing listens, and why is another question (https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/)."""

from __future__ import annotations

import re

from integrations.kubernetes.objects import Container, Event, Probe
from monitoring.checks.text import clean, count, phrase
from monitoring.diagnosis.argo_words import to_grafana, to_values
from monitoring.diagnosis.base import Layer, Signature, event_line, finding, log_line, older, pattern, says
from monitoring.diagnosis.containers import ended_at, rollback, state_of
from monitoring.diagnosis.scene import Bad, Scene, begun
from monitoring.diagnosis.signatures.grafana_database import LOCKED, is_migrating
from monitoring.verdict import Finding

_LISTENS = pattern(r"(?:listen(?:ing|s)?\b[^\n]{0,80}?(?:address|addr|on|at)?[^\n]{0,40}?|http_port=):?(\d{2,5})\b")
_REFUSED = pattern(r"connection refused|connect: cannot assign|no route to host")
_SLOW = pattern(r"client\.timeout|deadline exceeded|timed out|timeout")
_STATUS = pattern(r"statuscode: ?(\d{3})|status(?: code)?:? (\d{3})")
_PATIENCE = 60
#: how a program ends that the kubelet ends: by SIGTERM, which it may take well, or by SIGKILL
_KILLED = {0, 2, 130, 137, 143}


def slow_start(scene: Scene) -> Finding | None:
    """G8: a probe ends a start that takes longer than it allows."""
    for bad in scene.main():
        probe, kind = _patience(bad)
        events = [e for e in _unhealthy(scene, bad) if f"{kind} probe failed" in e.message.lower()]
        if not events or not bad.status.restart_count or probe is None:
            continue
        if bad.log_has(LOCKED) or (bad.last is not None and bad.last.exit_code not in _KILLED):
            continue  # it waits for a lock, or ended by itself
        allowed = f"{probe.initial_delay_seconds} s + {probe.failure_threshold} × {probe.period_seconds} s"
        migrating = next((line for line in reversed(bad.lines) if is_migrating(line)), "")
        line = migrating or (bad.lines[-1] if bad.lines else "")
        lived = _lived(bad)
        limit = probe.initial_delay_seconds + (probe.failure_threshold + 3) * probe.period_seconds + 60
        if lived is not None and lived > limit and not migrating:
            continue  # it had started long before: that is W5
        killed = scene.events_of(bad.pod.metadata.name, "Killing")
        sure = 0.9 if migrating else 0.85 if kind == "startup" else 0.6
        return finding(
            "G8",
            "killed_while_starting",
            f"{scene.called(bad)} was killed while it was still starting",
            f"The first start takes longer than the {kind} probe allows: {allowed}. "
            f"{count(bad.status.restart_count, 'restart')} so far. "
            + ("Give it more of it." if kind == "startup" else "Give it a startup probe, or a later liveness probe."),
            (
                *(event_line(scene, event) for event in (*events[-1:], *killed[-1:])),
                log_line(bad.name, line) if line else "",
                state_of(bad),
            ),
            sure,
            remedies=to_grafana(scene) if scene.kind == "grafana" else to_values(scene),
            at=ended_at(bad),
        )
    return None


def _patience(bad: Bad) -> tuple[Probe | None, str]:
    """The probe that says how long a start may take: the startup probe where there is one."""
    startup = bad.spec.startup_probe
    return (startup, "startup") if startup is not None else (bad.spec.liveness_probe, "liveness")


def _lived(bad: Bad) -> float | None:
    """Seconds the last run lasted."""
    last = bad.status.last_state.terminated
    if last is None or last.started_at is None or last.finished_at is None:
        return None
    return (last.finished_at - last.started_at).total_seconds()


def probe_fails(scene: Scene) -> Finding | None:
    """W5: it runs, and what its probe asks is not answered as it should be."""
    for bad in scene.bad:
        events = _unhealthy(scene, bad)
        if not events or bad.recovered or not older(scene, begun(bad.pod), _PATIENCE):
            continue
        event = events[-1]
        kind = event.message.partition(" probe")[0].strip().lower()
        probe = _probe(bad.spec, kind)
        found = _wrong_port(bad, probe, event) or _answer(bad, probe, event, kind)
        if found is None:
            continue
        cause, story, advice, confidence, proof = found
        return finding(
            "W5",
            cause,
            "Its probe is not answered as it should be",
            f"{clean(bad.name, 60)} of {bad.pod.metadata.name} runs and its {kind or 'readiness'} probe fails: "
            f"{story}. "
            f"{advice}",
            (event_line(scene, event), proof, state_of(bad)),
            confidence,
            remedies=rollback(scene, bad),
            at=event.first_timestamp,
        )
    return None


Judged = tuple[str, str, str, float, str]


def _wrong_port(bad: Bad, probe: Probe | None, event: Event) -> Judged | None:
    """The program says on which port it listens, and the probe asks another."""
    if probe is None or not says(_REFUSED, event.message):
        return None
    port = _port(bad.spec, probe)
    lines = [(line, match.group(1)) for line in bad.lines if (match := _LISTENS.search(line))]
    heard = [(line, told) for line, told in lines if told != str(port)]
    if not port or not heard or any(told == str(port) for _, told in lines):
        return None
    line, told = heard[-1]
    return (
        "probe_asks_other_port",
        f"it asks port {port} and the program listens on {told}",
        "Correct the probe's port, or the port the program is told.",
        0.85,
        log_line(bad.name, line),
    )


def _answer(bad: Bad, probe: Probe | None, event: Event, kind: str) -> Judged | None:
    status = says(_STATUS, event.message)
    if status:
        code = status.group(1) or status.group(2)
        path = f" to {clean(probe.http_get.path, 80)}" if probe and probe.http_get and probe.http_get.path else ""
        line = next(
            (line for line in reversed(bad.lines) if re.search(r"error|fail|unavailable", line, re.IGNORECASE)), ""
        )
        proof = log_line(bad.name, line) if line else ""
        if code in {"404", "301", "302", "307", "308", "400", "401", "403", "405"}:
            return (
                "probe_asks_wrong_path",
                f"the answer{path} is HTTP {code}",
                "Correct the probe's path, or what it has to send.",
                0.75,
                proof,
            )
        return (
            "program_says_not_ready",
            f"the answer{path} is HTTP {code}",
            "The program itself says that it is not ready: read its log.",
            0.55,
            proof,
        )
    if says(_REFUSED, event.message):
        return None
    if says(_SLOW, event.message):
        wait = f" within {probe.timeout_seconds} s" if probe else ""
        return (
            "probe_times_out",
            f"no answer comes{wait}",
            "It is overloaded or hangs, or the probe's timeout is too short: look at its CPU limit and its log.",
            0.55,
            "",
        )
    said = phrase(event.message.partition(": ")[2], 160)
    return (
        ("probe_command_fails", said or f"its {kind} probe fails", "Read what the probe says.", 0.5, "")
        if said
        else None
    )


def _unhealthy(scene: Scene, bad: Bad) -> list[Event]:
    """Events about this container's probes (the kubelet names it in the field path)."""
    path = f"{{{bad.name}}}"
    found = scene.events_of(bad.pod.metadata.name, "Unhealthy", "ProbeError")
    return [e for e in found if not e.involved_object.field_path or path in e.involved_object.field_path]


def _probe(spec: Container, kind: str) -> Probe | None:
    return {"liveness": spec.liveness_probe, "startup": spec.startup_probe}.get(kind, spec.readiness_probe)


def _port(spec: Container, probe: Probe) -> int | str:
    """The number of the port a probe asks."""
    asked = probe.http_get.port if probe.http_get else probe.tcp_socket.port if probe.tcp_socket else 0
    named = next((port.container_port for port in spec.ports if port.name == asked), 0)
    return named or asked


SIGNATURES = (
    Signature(
        "G8",
        Layer.CONTAINER,
        "The liveness probe kills a first start that takes longer than it allows.",
        "https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/#define-startup-probes",
        slow_start,
    ),
    Signature(
        "W5",
        Layer.ROLLOUT,
        "A container runs and its probe fails by an answer of its own: a status, a wrong port, no answer in time.",
        "https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/",
        probe_fails,
    ),
)
