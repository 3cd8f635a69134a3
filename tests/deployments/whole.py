"""What every plan must have, whatever its action: held to every plan that a test makes on a lab."""

from __future__ import annotations

from deployments.catalogue import registry
from deployments.catalogue.action import Apply, Call, Create, Delete, Evict, Patch
from deployments.engine import rights
from deployments.engine.document import Document, PlannedStep, load
from deployments.engine.restoring import _NEVER
from deployments.models import Plan
from integrations.kubernetes.kinds import RESOURCES

#: of whatever kind a person names: the plan says which right is missing, the action cannot
ANY_KIND = ("set-label", "remove-label")


def hold(plan: Plan) -> Plan:
    """The plan itself. :raises AssertionError: what it lacks."""
    document, action = load(plan.document), registry.get(plan.action)
    assert document.undo and document.blast.sentence, plan.action
    fits = all(p["met"] for p in plan.preconditions)
    assert document.steps or not fits, f"{plan.action}: it fits and does nothing"
    if fits and not document.verification.checks:
        last = document.steps[-1].spec
        # a new Secret is proved by the API server's answer: the observer may not read it afterwards
        proved = last.until is not None or (isinstance(last.effect, Create) and last.resource == "secrets")
        assert proved, f"{plan.action}: nothing proves it"
    assert plan.preconditions and all(p["sentence"] and p["evidence"] for p in plan.preconditions), plan.preconditions
    lacking = [line for step in document.steps for line in _lacking(step)]
    assert lacking == [], f"{plan.action}: {lacking}"
    if not action.internal and action.slug not in ANY_KIND:
        granted = {(rule.group, rule.resource): set(rule.verbs) for rule in action.rules}
        unsaid = [
            f"{verb} {key}"
            for step in document.steps
            for key, verbs in _verbs(document, step).items()
            for verb in sorted(verbs - granted.get(key, set()))
        ]
        assert unsaid == [], f"{plan.action}: its rules do not say {unsaid}"
    return plan


def _lacking(step: PlannedStep) -> list[str]:
    effect = step.spec.effect
    if effect is None:
        return [] if step.spec.until is not None else [f"{step.spec.title}: does nothing and waits for nothing"]
    told = [] if step.diff or step.refused or step.note else [f"{step.spec.title}: no difference is shown"]
    return told if step.command else [*told, f"{step.spec.title}: no line to do it by hand"]


def _verbs(document: Document, step: PlannedStep) -> dict[tuple[str, str], set[str]]:
    """The verbs a step needs, and those that its undo will need."""
    effect = step.spec.effect
    if isinstance(effect, Call):
        if effect.service != "alertmanager":
            return {}
        asked = [effect, *([effect.undo] if effect.undo is not None and document.undoable else [])]
        return {("", "services/proxy"): {rights._PROXIED[one.method] for one in asked}}
    if effect is None:
        return {}
    known = RESOURCES[step.spec.resource]
    if isinstance(effect, Evict):
        return {("", "pods"): {"get"}, ("", "pods/eviction"): {"create"}}
    verbs = {verb for verb, _ in rights._NEEDED[type(effect)]}
    there = bool(document.targets[step.target].uid)
    if document.undoable and not step.spec.irreversible:
        if isinstance(effect, Create | Apply) and not there:
            verbs |= {"delete"}
        elif isinstance(effect, Patch | Apply):
            verbs |= {"patch"}
        elif isinstance(effect, Delete) and known.kind not in _NEVER:
            verbs |= {"create"}
    return {(known.group, known.plural): verbs}
