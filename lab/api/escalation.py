"""Nobody grants rights that they do not hold: the check on writes of roles and bindings that kube-apiserver makes.

The verbs `escalate` (on roles) and `bind` (on the role a binding names) lift it, as there.
"""

from __future__ import annotations

import itertools

from lab.api import errors
from lab.api.auth import User
from lab.api.errors import Obj
from lab.api.rbac import RBAC, Attributes, Rbac
from lab.api.registry import Resource

_ROLES = {"Role": "roles", "ClusterRole": "clusterroles"}
_FIELDS = (
    ("APIGroups", "apiGroups"), ("Resources", "resources"), ("ResourceNames", "resourceNames"),
    ("NonResourceURLs", "nonResourceURLs"), ("Verbs", "verbs"),
)  # fmt: skip


def check(rbac: Rbac, user: User, resource: Resource, obj: Obj, old: Obj | None) -> None:
    """Raises ApiError 403 when the write would give away more than the user has."""
    if resource.group != RBAC:
        return
    meta = obj["metadata"]
    namespace = meta.get("namespace", "")
    if resource.kind in _ROLES:
        if old is not None and old.get("rules") == obj.get("rules"):
            return
        verb, plural, name = "escalate", resource.plural, meta["name"]
        granted = list(obj.get("rules") or [])
    else:
        if old is not None and (old.get("roleRef"), old.get("subjects")) == (obj.get("roleRef"), obj.get("subjects")):
            return
        ref = obj["roleRef"]
        verb, plural, name = "bind", _ROLES.get(ref.get("kind", ""), ""), ref.get("name", "")
        granted = rbac.role_rules(ref, namespace)
    if rbac.allows(user, Attributes(verb, RBAC, plural, namespace=namespace, name=name)):
        return
    held = list(rbac.rules(user, namespace))
    missing = [rule for rule in granted if not _covered(rule, held)]
    if missing:
        groups = " ".join(f'"{group}"' for group in user.all_groups)
        why = (
            f'user "{user.name}" (groups=[{groups}]) is attempting to grant RBAC permissions not currently held:\n'
            + "\n".join(_shown(rule) for rule in missing)
        )
        raise errors.forbidden(resource.plural, resource.group, meta["name"], why)


def _covered(rule: Obj, held: list[Obj]) -> bool:
    """Whether every single right of `rule` is in one of the rules held."""
    verbs = rule.get("verbs") or []
    if rule.get("nonResourceURLs"):
        return all(
            any(_has(own, "verbs", verb) and _has(own, "nonResourceURLs", url) for own in held)
            for verb, url in itertools.product(verbs, rule["nonResourceURLs"])
        )
    names = rule.get("resourceNames") or [""]
    parts = itertools.product(verbs, rule.get("apiGroups") or [], rule.get("resources") or [], names)
    return all(any(_gives(own, *part) for own in held) for part in parts)


def _gives(own: Obj, verb: str, group: str, resource: str, name: str) -> bool:
    if not (_has(own, "verbs", verb) and _has(own, "apiGroups", group) and _has(own, "resources", resource)):
        return False
    names = own.get("resourceNames") or []
    return not names or name in names


def _has(rule: Obj, field: str, value: str) -> bool:
    values = rule.get(field) or []
    return value in values or "*" in values


def _shown(rule: Obj) -> str:
    parts = [f"{label}:{_list(rule[field])}" for label, field in _FIELDS if rule.get(field)]
    return "{" + ", ".join(parts) + "}"


def _list(values: list[str]) -> str:
    return "[" + " ".join(f'"{value}"' for value in values) + "]"
