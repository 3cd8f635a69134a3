"""Which resources a Prometheus or Alertmanager resource selects, as the operator decides it. Pure.

A selector that is left out selects nothing, an empty one everything. A namespace selector that is left out means the
owner's own namespace, an empty one all.
"""

from __future__ import annotations

from lab.controllers import meta
from lab.controllers.client import Object
from lab.controllers.rights import View

Objects = list[Object]


def selected(owner: Object, view: View, resource: str, field: str) -> Objects:
    """The objects of a resource by the owner's `<field>Selector` and `<field>NamespaceSelector`, in a fixed order."""
    selector = owner["spec"].get(f"{field}Selector")
    if selector is None:
        return []
    namespaces = _namespaces(owner, view, owner["spec"].get(f"{field}NamespaceSelector"))
    found = [
        obj
        for obj in view.list(resource, None, selector)
        if namespaces is None or obj["metadata"].get("namespace") in namespaces
    ]
    return sorted(found, key=meta.key_of)


def _namespaces(owner: Object, view: View, selector: Object | None) -> set[str] | None:
    """Names of the namespaces; None for all of them."""
    if selector is None:
        return {owner["metadata"]["namespace"]}
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        return None
    return {each["metadata"]["name"] for each in view.list("namespaces", None, selector)}
