"""Whether a ServiceAccount may do something, by the Role objects alone. Pure."""

from __future__ import annotations

from typing import Any, Protocol

from lab.controllers.client import Object


class View(Protocol):
    """Reading side of a cache; the scenario builder has one over plain lists."""

    def list(
        self, resource: str, namespace: str | None = None, selector: dict[str, Any] | None = None
    ) -> list[Object]: ...

    def get(self, resource: str, namespace: str | None, name: str) -> Object | None: ...


def allowed(view: View, namespace: str, account: str, verb: str, resource: str, where: str | None) -> bool:
    """Whether system:serviceaccount:<namespace>:<account> may `verb` core `resource` in `where` (None: everywhere)."""
    for binding in view.list("clusterrolebindings.rbac.authorization.k8s.io"):
        if _names(binding, namespace, account) and _grants(view, binding, verb, resource):
            return True
    if where is None:
        return False
    return any(
        _names(binding, namespace, account) and _grants(view, binding, verb, resource)
        for binding in view.list("rolebindings.rbac.authorization.k8s.io", where)
    )


def _names(binding: Object, namespace: str, account: str) -> bool:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return any(
        (
            subject["kind"] == "ServiceAccount"
            and subject["name"] == account
            and subject.get("namespace", namespace) == namespace
        )
        or (subject["kind"] == "Group" and subject["name"] in groups)
        for subject in binding.get("subjects") or []
    )


def _grants(view: View, binding: Object, verb: str, resource: str) -> bool:
    reference = binding["roleRef"]
    if reference["kind"] == "ClusterRole":
        role = view.get("clusterroles.rbac.authorization.k8s.io", None, reference["name"])
    else:
        role = view.get("roles.rbac.authorization.k8s.io", binding["metadata"].get("namespace"), reference["name"])
    return any(
        {"", "*"} & set(rule.get("apiGroups") or [])
        and {resource, "*"} & set(rule.get("resources") or [])
        and {verb, "*"} & set(rule.get("verbs") or [])
        and not rule.get("resourceNames")
        for rule in (role or {}).get("rules") or []
    )
