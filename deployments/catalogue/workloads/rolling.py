"""What a new pod template touches while the workload's own strategy replaces its pods."""

from __future__ import annotations

import math
from collections.abc import Iterable

from deployments.catalogue.action import Blast, CheckSpec, Condition, Effect, Precondition, StepSpec, Verification
from deployments.catalogue.argo import ownership
from deployments.catalogue.workloads import pods, targets
from deployments.catalogue.workloads.targets import KINDS
from integrations.kubernetes.objects import Workload
from monitoring.checks.pods import is_ready
from monitoring.checks.text import count
from monitoring.snapshot import Need, Snapshot


def needs(kind: str, namespace: str) -> Iterable[Need]:
    """What the functions here read."""
    yield from targets.needs(kind, namespace)
    yield from pods.blast_needs(namespace)
    yield from ownership.needs()


def needs_of(snapshot: Snapshot, kind: str, namespace: str, name: str) -> Iterable[Need]:
    """The same for a workload that is asked for by name; of one that is not there also where its name is."""
    yield from needs(kind, namespace)
    yield from targets.elsewhere_needs(snapshot, kind, namespace, name)


def strategy(kind: str, item: Workload) -> str:
    """The name of the strategy in force; the API's default where none is said."""
    chosen = item.spec.strategy if kind == "Deployment" else item.spec.update_strategy
    return chosen.type or "RollingUpdate"


def down_at_once(kind: str, item: Workload) -> int:
    """How many pods are away at the same time at most (rules of the Kubernetes API reference, defaults included)."""
    enough = targets.wanted(kind, item)
    chosen = item.spec.strategy if kind == "Deployment" else item.spec.update_strategy
    if strategy(kind, item) != "RollingUpdate":
        return enough
    rolling = chosen.rolling_update
    away = rolling.max_unavailable if rolling is not None else None
    surge = rolling.max_surge if rolling is not None else None
    if kind == "Deployment":
        least = _of(away if away is not None else "25%", enough, up=False)
        more = _of(surge if surge is not None else "25%", enough, up=True)
        return max(least, 1) if more == 0 else least
    least = _of(away if away is not None else 1, enough, up=True)
    return least if _of(surge or 0, enough, up=True) else max(least, 1)


def _of(amount: int | str, whole: int, *, up: bool) -> int:
    """A number, or a percentage of the whole rounded up or down."""
    text = str(amount)
    if not text.endswith("%"):
        return int(text) if text.isdigit() else 0
    part = (int(text[:-1]) if text[:-1].isdigit() else 0) * whole / 100
    return math.ceil(part) if up else math.floor(part)


def replaces_pods(kind: str, item: Workload) -> Precondition:
    """A new template leads to new pods without anyone's help."""
    sentence = "Its update strategy replaces the pods by itself"
    name = strategy(kind, item)
    if name == "OnDelete":
        return Precondition(sentence, False, "updateStrategy OnDelete: pods change only when somebody deletes them")
    rolling = item.spec.update_strategy.rolling_update
    kept = (rolling.partition or 0) if rolling is not None and kind == "StatefulSet" else 0
    if kept and kept >= targets.wanted(kind, item):
        return Precondition(sentence, False, f"partition {kept}: every pod keeps the template it has")
    more = f", partition {kept}: pods below ordinal {kept} keep theirs" if kept else ""
    return Precondition(sentence, True, f"{name}{more}")


def not_paused(item: Workload) -> Precondition:
    """A paused Deployment takes a new template and does nothing with it."""
    name = item.metadata.name
    return Precondition(
        f"The rollout of Deployment {name} is not paused",
        not item.spec.paused,
        "spec.paused: true; resume it first" if item.spec.paused else "spec.paused is not set",
    )


def has_pods(kind: str, item: Workload) -> Precondition:
    """It wants at least one pod."""
    enough = targets.wanted(kind, item)
    return Precondition("It wants at least one pod", enough > 0, f"{targets.ready(kind, item)} of {enough} are ready")


def blast(snapshot: Snapshot, kind: str, item: Workload, more: str = "") -> Blast:
    """All pods of the workload end and come back by its strategy. :raises Missing:"""
    mine = targets.staying(snapshot, kind, item)
    down = down_at_once(kind, item)
    name = strategy(kind, item)
    if targets.wanted(kind, item) == 0:
        how = "It wants no pods now: nothing is replaced, and the new template is first tried when it is scaled up."
    elif name == "RollingUpdate":
        how = f"{count(len(mine), 'pod')} replaced by RollingUpdate, at most {down} away at once."
    else:
        how = f"{count(len(mine), 'pod')} replaced by {name}: all end before the first new one starts."
    held = [pod.metadata.name for pod in mine if not is_ready(pod)] if kind == "StatefulSet" else []
    if held:
        # kubernetes/kubernetes#67250: the controller waits for it to become ready before it goes on
        how += f" Pod {held[0]} is not ready and may hold the rollout: if it does, delete that pod too."
    asked = " A rollout does not ask disruption budgets." if pods.budgets(snapshot, mine) else ""
    return Blast(
        changed=(f"{kind} {item.metadata.name}",),
        restarted=pods.lines(mine),
        budgets=pods.budgets(snapshot, mine),
        claims=pods.claims(mine),
        endpoints=pods.endpoints_lost(snapshot, mine, down),
        sentence=f"{how}{asked}{f' {more}' if more else ''}",
    )


def step(kind: str, item: Workload, effect: Effect, *, verb: str, title: str, how: str, seconds: int) -> StepSpec:
    """One write of the workload and the wait until it is rolled out."""
    where = targets.where(item)
    guards = (Condition("not_paused", where),) if kind == "Deployment" else ()
    return StepSpec(
        verb=verb,
        title=title,
        how=how,
        resource=KINDS[kind],
        effect=effect,
        guards=guards,
        until=Condition("workload_rolled_out", {**where, "kind": kind, "selector": targets.selector(item)}),
        timeout_seconds=seconds,
        **where,
    )


def verification(kind: str, item: Workload, hold: int) -> Verification:
    """The workload reads ready for so long. One that wants no pods never does: there the step's wait is all."""
    if targets.wanted(kind, item) == 0:
        return Verification((), 0, 0)
    return ready(kind, item, hold)


def ready(kind: str, item: Workload, hold: int) -> Verification:
    """The workload reads ready for so long, however many pods it wants by then."""
    check = CheckSpec("Workload is ready", "workload_ready", {**targets.where(item), "kind": kind})
    return Verification((check,), hold, hold + 120)
