"""The report's options for Grafana as a decision: what each would do, and whether it can be done now (facts: 1.5).

A a Grafana of its own, B delete and recreate the Application, C Prometheus's UI meanwhile, D repair in place. Each
option is the plan its action would make of the same snapshot, so what a person reads here is what they will be shown
before they run it. Choosing writes nothing; the page that shows this keeps the decision. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from deployments.catalogue.action import Action, CannotPlan, PlanDraft, Precondition
from deployments.catalogue.argo import recreate
from deployments.catalogue.dashboards import owning, prometheus_ui, repair, stack, standalone
from monitoring.checks.services import ready_addresses
from monitoring.checks.text import phrase
from monitoring.snapshot import Missing, Need, Snapshot


@dataclass(frozen=True, slots=True)
class Option:
    """One way out. ``action`` and ``params`` make its plan; ``through_git``: it can be done by a commit even while its
    preconditions are not met, by the patch of that plan."""

    key: str
    title: str
    action: str
    tier: int
    sentence: str
    risk: str
    undo: str
    params: dict[str, Any] = field(default_factory=dict)
    preconditions: tuple[Precondition, ...] = ()
    through_git: bool = False
    recommended: bool = False

    @property
    def met(self) -> bool:
        """Whether its plan could run now, as far as the catalogue can tell; rights and dry runs come with the plan."""
        return bool(self.preconditions) and all(p.met for p in self.preconditions)


@dataclass(frozen=True, slots=True)
class _Kind:
    key: str
    title: str
    action: Action
    sentence: str
    risk: str


_KINDS = (
    _Kind(
        "D",
        "Repair in place",
        repair.ACTION,
        "Argo CD applies Grafana again, with the values changed that the diagnosis names, if any.",
        "Low: nothing but Grafana's own objects is touched, and Git stays the desired state.",
    ),
    _Kind(
        "A",
        "A Grafana of its own",
        standalone.ACTION,
        "A small Grafana beside the chart takes the Service over. Dashboards made by hand are not in it.",
        "It drifts from Git for as long as it runs, and two Grafanas share one address if the chart's comes back.",
    ),
    _Kind(
        "B",
        "Delete and recreate the Application",
        recreate.ACTION,
        "The Application is deleted without what it manages and made again under the same name.",
        "High, and rarely the cure: were it to cascade, Prometheus, Alertmanager, the operator, the address and "
        "Grafana's claim would go. Its history begins anew.",
    ),
    _Kind(
        "C",
        "Prometheus's own UI meanwhile",
        prometheus_ui.ACTION,
        "Nothing is changed. Queries and targets are there, dashboards are not.",
        "None. It goes with each of the others; DORA needs Prometheus, not Grafana.",
    ),
)


def needs(snapshot: Snapshot) -> Iterable[Need]:
    """What the four plans read; ask again until it adds nothing, as for a plan."""
    for kind in _KINDS:
        yield from kind.action.needs(snapshot, kind.action.params(**_params(snapshot, kind)))
    yield stack.slices("")


def options(snapshot: Snapshot) -> tuple[Option, ...]:
    """D, A, B and C, the likeliest first. Never raises for what a cluster says: what was not read is a precondition
    that is not met, with the sentence that says so."""
    made = [_option(snapshot, kind) for kind in _KINDS]
    best = _recommended(snapshot, made)
    return tuple(replace(option, recommended=option.key == best) for option in made)


def _params(snapshot: Snapshot, kind: _Kind) -> dict[str, Any]:
    """B must be told which Application; the others find everything themselves."""
    if kind.key != "B":
        return {}
    with suppress(Missing, CannotPlan):
        meta = owning.find(snapshot, "", "").app.metadata
        return {"application": meta.name, "namespace": meta.namespace}
    return {"application": "unknown"}


def _option(snapshot: Snapshot, kind: _Kind) -> Option:
    params = _params(snapshot, kind)
    draft: PlanDraft | None = None
    try:
        draft = kind.action.plan(snapshot, kind.action.params(**params))
        preconditions = draft.preconditions
    except CannotPlan as error:
        preconditions = (Precondition("A plan can be made", False, str(error)),)
    except Missing as missing:
        preconditions = (Precondition("What the plan needs was read", False, f"{phrase(str(missing))}."),)
    return Option(
        key=kind.key,
        title=kind.title,
        action=kind.action.slug,
        tier=(draft.tier if draft is not None else None) or kind.action.tier,
        sentence=kind.sentence,
        risk=kind.risk,
        undo=draft.undo if draft is not None else kind.action.undo,
        params={} if params.get("application") == "unknown" else params,
        preconditions=preconditions,
        through_git=draft is not None and bool(draft.git_patch) and kind.key == "D",
    )


def _recommended(snapshot: Snapshot, made: Iterable[Option]) -> str:
    """D while it can be done here or in Git, else A, else C; B never; nothing while Grafana's Service has a pod."""
    with suppress(Missing):
        service = stack.service(snapshot, "grafana")
        if service is not None and ready_addresses(snapshot, service):
            return ""
    by_key = {option.key: option for option in made}
    for key in ("D", "A", "C"):
        if by_key[key].met or by_key[key].through_git:
            return key
    return ""
