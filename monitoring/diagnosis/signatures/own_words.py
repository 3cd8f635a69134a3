"""W9 to W18: what a program says itself before it ends, whatever program it is. One row for each cause.

The rows are in :mod:`monitoring.diagnosis.sayings`. The last line that fits is quoted.
"""

from __future__ import annotations

from collections.abc import Iterable

from integrations.kubernetes.objects import NetworkPolicy
from monitoring.checks.text import clean, listing
from monitoring.diagnosis.base import Layer, Signature, finding, log_line, pattern
from monitoring.diagnosis.containers import ended_at, rollback, state_of
from monitoring.diagnosis.refusals import REFUSED
from monitoring.diagnosis.remedies import DELETE_POD, EXPAND_CLAIM, REVERT_RULE, Remedy, remedy
from monitoring.diagnosis.sayings import ROWS, Words
from monitoring.diagnosis.scene import Bad, Scene, claim_names, is_sidecar_name
from monitoring.snapshot import Need, Objects
from monitoring.verdict import Finding

#: silence, not refusal: what a policy that drops packets looks like from inside
_SILENCE = pattern(r"timed? ?out|timeout|deadline exceeded|eai_again|server misbehaving|temporary failure")
_POLICIES = "networkpolicies.networking.k8s.io"
_OWN_PORT = pattern(r"(?:localhost|127\.0\.0\.1|\[::1\])")


def needs(scene: Scene) -> Iterable[Need]:
    """The policies that may be what a program waits behind; asked for with its log, not a round after it."""
    if any(bad.status.restart_count or bad.status.state.running or bad.crashes for bad in scene.bad):
        yield Objects(_POLICIES, scene.namespace)


def _policies(scene: Scene, bad: Bad, line: str) -> str:
    """NetworkPolicies that limit where this pod may connect to; only a hint, they may well allow this."""
    if not _SILENCE.search(line) or not scene.known(_POLICIES, scene.namespace):
        return ""
    every: list[NetworkPolicy] = scene.read(_POLICIES, scene.namespace)
    mine = [
        item.metadata.name
        for item in every
        if "Egress" in item.spec.policy_types
        and not item.spec.pod_selector.match_expressions
        and item.spec.pod_selector.match_labels.items() <= bad.pod.metadata.labels.items()
    ]
    return f"NetworkPolicy {listing(mine)} limits where this pod may connect to" if mine else ""


def of_containers(scene: Scene) -> Finding | None:
    """What its own containers say."""
    return _first(scene, [bad for bad in scene.bad if not bad.init])


def of_init(scene: Scene) -> Finding | None:
    """What has to come before them says."""
    return _first(scene, [bad for bad in scene.bad if bad.init])


def _first(scene: Scene, among: list[Bad]) -> Finding | None:
    for bad in among:
        if is_sidecar_name(bad.name, bad.image) or not bad.lines or (bad.recovered and not bad.crashes):
            continue
        end = _end(bad)
        told = _named(bad, end) or next(((row, line) for row in ROWS if (line := _line(bad, row, bool(end)))), None)
        if told is not None:
            return _finding(scene, bad, *told)
    return None


#: the words with which programs say that they end for this
_FATAL = pattern(
    r"^\W{0,3}(?:error|fatal|panic)\b|(?:level|lvl)=(?:fatal|panic|crit)|msg=\"fatal error|^F\d{4} |failed to start"
)


_WARNS = pattern(
    r"\b(?:level|lvl)=\"?(?:warn(?:ing)?|info|debug)\b|\"level\": ?\"(?:warn(?:ing)?|info|debug)\"|^[WI]\d{4} "
)


def _end(bad: Bad) -> str:
    """The last of its lines that says "I end": what it only warned of before did not end it."""
    return next((line for line in reversed(bad.lines[-15:]) if _FATAL.search(line)), "") if bad.crashes else ""


def _named(bad: Bad, line: str) -> tuple[Words, str] | None:
    row = next((row for row in ROWS if _fits(bad, row, line)), None) if line else None
    return (row, line) if row is not None else None


def _line(bad: Bad, row: Words, warned: bool) -> str:
    """The last line that fits. Of refused connections those to itself say nothing: it was not up yet."""
    lines = [line for line in bad.lines if not (warned and _WARNS.search(line))]
    return next((line for line in reversed(lines) if _fits(bad, row, line)), "")


def _fits(bad: Bad, row: Words, line: str) -> bool:
    if not row.words.search(line) or REFUSED.search(line):
        return False
    if row.cause == "dependency_unreachable" and (_OWN_PORT.search(line) or not _fails(line)):
        return False
    return row.id != "W16" or bad.crashes


_FAILING = pattern(r"refused|timed? ?out|timeout|unreachable|no route|reset|deadline|fail|error|econn")


def _fails(line: str) -> bool:
    return bool(_FAILING.search(line))


def _finding(scene: Scene, bad: Bad, row: Words, line: str) -> Finding:
    late = line in bad.lines[-15:]
    ends = "ends" if bad.crashes else "runs and is not ready"
    return finding(
        row.id,
        row.cause,
        row.title,
        f"{clean(bad.name, 60)} of {clean(bad.pod.metadata.name, 120)} {ends}: {row.title[0].lower()}{row.title[1:]}. "
        f"{row.advice}",
        (log_line(bad.name, line), state_of(bad), _policies(scene, bad, line)),
        row.confidence if late and bad.crashes else round(row.confidence * 0.7, 2),
        remedies=_remedies(scene, bad, row, line),
        at=ended_at(bad),
        reference=row.reference,
    )


def _remedies(scene: Scene, bad: Bad, row: Words, line: str) -> tuple[Remedy, ...]:
    namespace, pod = bad.pod.metadata.namespace, bad.pod.metadata.name
    if row.cause == "disk_full":
        return tuple(remedy(EXPAND_CLAIM, namespace=namespace, name=name) for name in claim_names(bad.pod)[:1])
    if row.cause == "data_locked":
        return (remedy(DELETE_POD, namespace=namespace, name=pod),)
    if row.id == "W13":
        return (remedy(DELETE_POD, namespace=namespace, name=pod),)
    if row.cause == "configuration_refused" and "rule" in line.lower():
        return (remedy(REVERT_RULE), *rollback(scene, bad))
    return rollback(scene, bad)


_PAGE = "https://kubernetes.io/docs/tasks/debug/debug-application/debug-running-pod/"
SIGNATURES = (
    Signature(
        "W10",
        Layer.CONTAINER,
        "A program says itself why it ends: disk (W9), configuration (W10), data (W11), rights (W12), API server "
        "(W13), "
        "certificates (W14), what it depends on (W15), a port (W16), its data folder (W17), missing kinds (W24).",
        _PAGE,
        of_containers,
        needs,
        general=True,
    ),
    Signature(
        "W10", Layer.INIT, "An init container says why it ends, in the same words.", _PAGE, of_init, general=True
    ),
)
