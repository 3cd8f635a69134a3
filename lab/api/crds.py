"""CustomResourceDefinitions: their conditions, and the resources they add to and take from the registry."""

from __future__ import annotations

from lab.api.errors import Obj
from lab.api.registry import Custom, Registry, Resource

CRDS = "customresourcedefinitions.apiextensions.k8s.io"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


def established(crd: Obj) -> bool:
    conditions = (crd.get("status") or {}).get("conditions") or []
    return any(each.get("type") == "Established" and each.get("status") == "True" for each in conditions)


def establish(crd: Obj, now: str) -> Obj:
    """A copy of the CRD with names accepted, established, and the cleanup finalizer."""
    spec = crd["spec"]
    names = spec["names"]
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": now, "reason": reason, "message": message}
        for kind, reason, message in (
            ("NamesAccepted", "NoConflicts", "no conflicts found"),
            ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        )
    ]
    finalizers = [*(crd["metadata"].get("finalizers") or []), CLEANUP]
    return {
        **crd,
        "metadata": {**crd["metadata"], "finalizers": list(dict.fromkeys(finalizers))},
        "status": {
            "conditions": conditions,
            "acceptedNames": names,
            "storedVersions": [each["name"] for each in spec["versions"] if each.get("storage")],
        },
    }


def register(registry: Registry, crd: Obj) -> None:
    """Serve what the CRD says now, and nothing of what it said before."""
    name = crd["metadata"]["name"]
    registry.remove_crd(name)
    spec, names = crd["spec"], crd["spec"]["names"]
    for version in spec["versions"]:
        if not version.get("served", True):
            continue
        subresources = version.get("subresources") or {}
        schema = (version.get("schema") or {}).get("openAPIV3Schema")
        columns = version.get("additionalPrinterColumns") or [_AGE]
        registry.add(
            Resource(
                group=spec["group"],
                version=version["name"],
                plural=names["plural"],
                kind=names["kind"],
                namespaced=spec.get("scope") == "Namespaced",
                short_names=tuple(names.get("shortNames") or ()),
                subresources=tuple(each for each in ("status", "scale") if each in subresources),
                fields=tuple(each["jsonPath"].removeprefix(".") for each in version.get("selectableFields") or ()),
                counts_generation=True,
                categories=tuple(names.get("categories") or ()),
                singular=names.get("singular") or names["kind"].lower(),
                list_kind=names.get("listKind") or f"{names['kind']}List",
                custom=Custom(name, schema if _meaningful(schema) else None, tuple(columns), subresources.get("scale")),
            )
        )


def _meaningful(schema: Obj | None) -> bool:
    """A schema that only preserves unknown fields is treated like none."""
    return bool(schema) and bool((schema or {}).get("properties"))
