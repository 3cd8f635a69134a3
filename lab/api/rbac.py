"""May this user do this? Evaluated from the Role and Binding objects in the store, as RBAC does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lab.api.auth import User
from lab.api.errors import Obj
from lab.api.selectors import match_label_selector
from lab.api.store import Store

RBAC = "rbac.authorization.k8s.io"


@dataclass(frozen=True, slots=True)
class Attributes:
    """What is asked for: a resource request, or (`path` set) a non-resource one."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def _subject_matches(subject: Obj, user: User, namespace: str) -> bool:
    name = subject.get("name", "")
    match subject.get("kind"):
        case "User":
            return bool(name == user.name)
        case "Group":
            return name in user.all_groups
        case "ServiceAccount":
            return user.name == f"system:serviceaccount:{subject.get('namespace') or namespace}:{name}"
    return False


class Rbac:
    """Reads roles and bindings from the store at each question; nothing is cached."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def role_rules(self, ref: Obj, namespace: str) -> list[Obj]:
        """The rules of the role that a binding in `namespace` ("" for cluster bindings) refers to."""
        if ref.get("kind") == "Role":
            role = self._store.get(f"roles.{RBAC}", namespace, ref.get("name", ""))
        else:
            role = self._store.get(f"clusterroles.{RBAC}", "", ref.get("name", ""))
        if role is None:
            return []
        rules: list[Obj] = list(role.get("rules") or [])
        for selector in (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or []:
            for other in self._store.objects(f"clusterroles.{RBAC}"):
                if other is not role and match_label_selector(selector, other["metadata"].get("labels") or {}):
                    rules += other.get("rules") or []
        return rules

    def rules(self, user: User, namespace: str) -> Iterator[Obj]:
        """Every rule that holds for the user in `namespace` ("" = cluster scope only)."""
        for _source, rules in self._grants(user, namespace):
            yield from rules

    def _grants(self, user: User, namespace: str) -> Iterator[tuple[str, list[Obj]]]:
        """(what grants, its rules): the bindings of the user one after the other."""
        if "system:masters" in user.groups:
            yield (
                "",
                [
                    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
                    {"verbs": ["*"], "nonResourceURLs": ["*"]},
                ],
            )
        for where in ("", namespace) if namespace else ("",):
            kind, plural = ("RoleBinding", "rolebindings") if where else ("ClusterRoleBinding", "clusterrolebindings")
            for binding in self._store.objects(f"{plural}.{RBAC}", where):
                for subject in binding.get("subjects") or []:
                    if _subject_matches(subject, user, where):
                        name, ref = binding["metadata"]["name"] + (f"/{where}" if where else ""), binding["roleRef"]
                        source = (
                            f'{kind} "{name}" of {ref.get("kind")} "{ref.get("name")}" to {_described(subject, where)}'
                        )
                        yield source, self.role_rules(ref, where)
                        break

    def allows(self, user: User, asked: Attributes) -> bool:
        return any(rule_allows(rule, asked) for rule in self.rules(user, asked.namespace))

    def answer(self, user: User, asked: Attributes) -> tuple[bool, str]:
        """(allowed, why), the reason as the RBAC authorizer of kube-apiserver words it; empty when there is none."""
        for source, rules in self._grants(user, asked.namespace):
            if any(rule_allows(rule, asked) for rule in rules):
                return True, f"RBAC: allowed by {source}" if source else ""
        lost = self._dangling(user, asked.namespace)
        text = ", ".join(lost)
        return False, (f"RBAC: [{text}]" if len(lost) > 1 else f"RBAC: {text}") if lost else ""

    def _dangling(self, user: User, namespace: str) -> list[str]:
        """Roles that bindings of the user name and that are not there."""
        found: dict[str, None] = {}
        for where in ("", namespace) if namespace else ("",):
            plural = "rolebindings" if where else "clusterrolebindings"
            for binding in self._store.objects(f"{plural}.{RBAC}", where):
                if not any(_subject_matches(each, user, where) for each in binding.get("subjects") or []):
                    continue
                kind, name = str(binding["roleRef"].get("kind")), str(binding["roleRef"].get("name"))
                roles, place = ("roles", where) if kind == "Role" else ("clusterroles", "")
                if self._store.get(f"{roles}.{RBAC}", place, name) is None:
                    found[f'{kind.lower()}.{RBAC} "{name}" not found'] = None
        return list(found)


def _described(subject: Obj, namespace: str) -> str:
    if subject.get("kind") == "ServiceAccount":
        return f'ServiceAccount "{subject.get("name")}/{subject.get("namespace") or namespace}"'
    return f'{subject.get("kind")} "{subject.get("name")}"'


def rule_allows(rule: Obj, asked: Attributes) -> bool:
    verbs = rule.get("verbs") or []
    if asked.verb not in verbs and "*" not in verbs:
        return False
    if asked.path:
        return any(_path_matches(pattern, asked.path) for pattern in rule.get("nonResourceURLs") or [])
    groups, resources = rule.get("apiGroups") or [], rule.get("resources") or []
    if asked.group not in groups and "*" not in groups:
        return False
    wanted = {"*", asked.full_resource}
    if asked.subresource:
        wanted.add(f"*/{asked.subresource}")
    if not wanted.intersection(resources):
        return False
    names = rule.get("resourceNames") or []
    return not names or asked.name in names


def _path_matches(pattern: str, path: str) -> bool:
    return pattern == "*" or pattern == path or (pattern.endswith("*") and path.startswith(pattern[:-1]))


def denial(user: User, asked: Attributes) -> str:
    """The sentence behind "is forbidden: "."""
    if asked.path:
        return f'User "{user.name}" cannot {asked.verb} path "{asked.path}"'
    where = f'in the namespace "{asked.namespace}"' if asked.namespace else "at the cluster scope"
    return (
        f'User "{user.name}" cannot {asked.verb} resource "{asked.full_resource}" in API group "{asked.group}" {where}'
    )
