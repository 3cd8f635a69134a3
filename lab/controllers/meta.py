"""Small pure helpers over Kubernetes objects: names, owners, labels, times, quantities. No I/O."""

from __future__ import annotations

import hashlib
import json
import random
import re
from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]
_SAFE = "bcdfghjklmnpqrstvwxz2456789"
_FACTORS = {
    "": 1.0, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip


def now() -> str:
    return stamp(datetime.now(UTC))


def stamp(moment: datetime) -> str:
    """RFC 3339 with seconds, as metav1.Time."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str | None) -> datetime | None:
    if not text:
        return None
    return datetime.fromisoformat(text)


def key_of(obj: Object) -> tuple[str, str]:
    meta = obj["metadata"]
    return meta.get("namespace") or "", meta["name"]


def uid(obj: Object) -> str:
    return str(obj["metadata"].get("uid", ""))


def deleting(obj: Object) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def group_of(obj: Object) -> str:
    return str(obj.get("apiVersion", "")).rpartition("/")[0]


def labels(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def notes(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("annotations") or {}


def controller_of(obj: Object | None) -> Object | None:
    for owner in (obj or {}).get("metadata", {}).get("ownerReferences") or []:
        if owner.get("controller"):
            return dict(owner)
    return None


def controller_uid(obj: Object | None) -> str:
    owner = controller_of(obj)
    return str(owner["uid"]) if owner else ""


def owner_reference(owner: Object, *, block: bool = True) -> Object:
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": block,
    }


def matches(have: dict[str, str] | None, selector: dict[str, Any]) -> bool:
    """Whether labels match a label map or a LabelSelector. An empty selector matches everything."""
    mine = have or {}
    if "matchLabels" not in selector and "matchExpressions" not in selector:
        return all(mine.get(key) == value for key, value in selector.items())
    if any(mine.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(requirement(mine, entry) for entry in selector.get("matchExpressions") or [])


def requirement(have: dict[str, str], entry: Object) -> bool:
    """One matchExpression, of a label selector or of a node selector."""
    key, operator, values = entry["key"], entry["operator"], entry.get("values") or []
    if operator == "Exists":
        return key in have
    if operator == "DoesNotExist":
        return key not in have
    if operator == "In":
        return have.get(key) in values
    if operator == "NotIn":
        return have.get(key) not in values
    try:
        number, limit = int(have[key]), int(values[0])
    except (KeyError, ValueError, IndexError):
        return False
    return number > limit if operator == "Gt" else number < limit


def template_hash(template: Object) -> str:
    """A short name for a pod template: equal templates give equal names."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return "".join(_SAFE[byte % len(_SAFE)] for byte in digest[:10])


def suffix(rng: random.Random, length: int = 5) -> str:
    return "".join(rng.choices(_SAFE, k=length))


def quantity(text: str | int | float | None) -> float:
    """A resource quantity as a number (bytes, cores, pieces); 0 when absent or unreadable."""
    if text is None:
        return 0.0
    found = re.fullmatch(r"([0-9.]+)\s*([A-Za-z]{0,2})", str(text).strip())
    if not found or found[2] not in _FACTORS:
        return 0.0
    return float(found[1]) * _FACTORS[found[2]]


def condition(obj: Object, kind: str) -> Object | None:
    for entry in (obj.get("status") or {}).get("conditions") or []:
        if entry.get("type") == kind:
            return dict(entry)
    return None


def pod_ready(pod: Object) -> bool:
    found = condition(pod, "Ready")
    return bool(found and found.get("status") == "True") and not deleting(pod)


def pod_finished(pod: Object) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def set_condition(conditions: list[Object], new: Object, at: str) -> list[Object]:
    """The list with `new` in place of the entry of its type; lastTransitionTime moves only with the status."""
    kept: list[Object] = []
    found = False
    for entry in conditions:
        if entry.get("type") != new["type"]:
            kept.append(entry)
            continue
        found = True
        same = entry.get("status") == new["status"]
        kept.append({**entry, **new, "lastTransitionTime": entry.get("lastTransitionTime", at) if same else at})
    return kept if found else [*kept, {**new, "lastTransitionTime": at}]


def port_number(port: Any, containers: list[Object]) -> int | None:
    """A Service's targetPort or a probe's port as a number, by the containers' port names when it is a name."""
    if isinstance(port, int):
        return port
    if str(port).isdigit():
        return int(port)
    for container in containers:
        for entry in container.get("ports") or []:
            if entry.get("name") == port:
                return int(entry["containerPort"])
    return None


def wall() -> float:
    """The wall clock in seconds."""
    return datetime.now(UTC).timestamp()


def covers(live: Any, wanted: Any) -> bool:
    """Whether `live` has everything `wanted` says; what servers default may be more. Lists must have equal length
    unless their items have unique names, then each wanted item must be there by its name."""
    if isinstance(wanted, dict):
        if not isinstance(live, dict):
            return not wanted and live is None
        return all(covers(live.get(key), value) for key, value in wanted.items())
    if isinstance(wanted, list):
        have = live or []
        if wanted and all(isinstance(item, dict) and "name" in item for item in [*wanted, *have]):
            named = {item["name"]: item for item in have}
            if len(named) < len(have):
                return len(have) == len(wanted) and all(map(covers, have, wanted))
            return all(covers(named.get(item["name"]), item) for item in wanted)
        return len(have) == len(wanted) and all(map(covers, have, wanted))
    if wanted is None or wanted is False or wanted == "":
        return live in (None, False, "")  # servers may leave out what is empty
    return same_scalar(live, wanted)


def same_scalar(live: Any, wanted: Any) -> bool:
    """Equality of leaves; quantities are equal by value ("2" and "2000m")."""
    if live == wanted:
        return True
    if isinstance(live, bool) or isinstance(wanted, bool) or live is None:
        return False
    if not re.fullmatch(r"[0-9.]+[A-Za-z]{0,2}", str(live)) or not re.fullmatch(r"[0-9.]+[A-Za-z]{0,2}", str(wanted)):
        return False
    try:
        return quantity(live) == quantity(wanted) and quantity(wanted) != 0
    except ValueError:
        return False
