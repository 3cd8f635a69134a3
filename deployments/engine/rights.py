"""Asks the API server whether the writing identity may do what a plan's steps do; writes down the missing rule."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deployments.catalogue.action import Apply, Call, Create, Delete, Evict, Patch, Precondition, StepSpec
from deployments.engine.cluster import Cluster
from integrations.kubernetes.kinds import RESOURCES

#: (verb, subresource) per effect; a read comes before every effect
_NEEDED: dict[type, tuple[tuple[str, str], ...]] = {
    Patch: (("get", ""), ("patch", "")),
    # a server-side apply that creates needs both
    Apply: (("get", ""), ("patch", ""), ("create", "")),
    Create: (("get", ""), ("create", "")),
    Delete: (("get", ""), ("delete", "")),
    Evict: (("get", ""), ("create", "eviction")),
}

#: a request through the API server's service proxy, by its method
_PROXIED = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}

Row = dict[str, Any]


def check(cluster: Cluster, steps: Iterable[StepSpec]) -> list[Row]:
    """Per object the verbs needed, those ``missing``, and the ``rule`` that grants them, as a line of YAML."""
    wanted: dict[tuple[str, str, str], dict[tuple[str, str], None]] = {}
    for step in steps:
        if isinstance(step.effect, Call):
            through = cluster.proxied(step.effect.service)
            if through is not None:
                needed = wanted.setdefault(("services", *through), {})
                needed[_PROXIED[step.effect.method], "proxy"] = None
        elif step.effect is not None:
            verbs = wanted.setdefault((step.resource, step.namespace, step.name), {})
            verbs.update(dict.fromkeys(_NEEDED[type(step.effect)]))
    return [_row(cluster, *target, list(verbs)) for target, verbs in wanted.items()]


def _row(cluster: Cluster, resource: str, namespace: str, name: str, needed: list[tuple[str, str]]) -> Row:
    known = RESOURCES[resource]
    missing = [
        _say(verb, sub)
        for verb, sub in needed
        if not cluster.may(verb, known.group, known.plural, namespace, name, sub)[0]
    ]
    by_sub: dict[str, list[str]] = {}
    for verb, sub in needed:
        by_sub.setdefault(sub, []).append(verb)
    rules = [_rule(known.group, known.plural, sub, verbs, name) for sub, verbs in by_sub.items()]
    return {
        "verbs": [_say(verb, sub) for verb, sub in needed],
        "group": known.group,
        "resource": known.plural,
        "namespace": namespace,
        "name": name,
        "missing": missing,
        "rule": "\n".join(rules),
    }


def _say(verb: str, subresource: str) -> str:
    return f"{verb} {subresource}" if subresource else verb


def _rule(group: str, plural: str, subresource: str, verbs: list[str], name: str) -> str:
    """RBAC cannot limit ``create`` by name, but for a subresource of what is there."""
    resource = f"{plural}/{subresource}" if subresource else plural
    named = "" if "create" in verbs and not subresource else f", resourceNames: [{name}]"
    return f'- {{apiGroups: ["{group}"], resources: [{resource}], verbs: [{", ".join(verbs)}]{named}}}'


def allowed(rows: list[Row], cluster: Cluster) -> Precondition:
    """The rights as one precondition."""
    missing = [
        f"{' and '.join(r['missing'])} {r['resource']} {r['namespace']}/{r['name']}" for r in rows if r["missing"]
    ]
    who = cluster.identity()
    evidence = f"{who} may not {'; '.join(missing)}" if missing else f"asked as {who}"
    return Precondition("The writing identity may do this", not missing, evidence)
