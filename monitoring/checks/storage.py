"""Are volumes bound, of the right class and size, and is the class there? (PersistentVolumeClaim, StorageClass.)"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta

from integrations.kubernetes.objects import Claim, Pod, StorageClass
from monitoring.checks import claims
from monitoring.checks.base import CheckType, Params, degraded, failing, ref, verified, worst
from monitoring.checks.quantities import parse_quantity
from monitoring.checks.text import count, in_namespace, kubectl, listing, since, spelled
from monitoring.snapshot import Need, Objects, Snapshot, labels_match
from monitoring.verdict import Verdict

CLASSES = "storageclasses.storage.k8s.io"
_OLD_CLASS = "volume.beta.kubernetes.io/storage-class"
_DEFAULT = ("storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class")


class PvcBound(Params, frozen=True):
    """Parameters of ``pvc_bound``. A selector takes claims that carry the labels and claims that such pods mount.

    A StatefulSet calls its claims ``<template>-<StatefulSet>-<number>``
    (https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#stable-storage): ``prefix`` takes those, and
    not whatever else begins so. With a name and a prefix, a claim of either fits.
    """

    namespace: Annotated[str, Meta(min_length=1, description="where the claims are")]
    selector: Annotated[str, Meta(description="labels of the claim, or of a pod that mounts it")] = ""
    name: Annotated[str, Meta(description="name of the claim, exactly")] = ""
    prefix: Annotated[str, Meta(description="how a StatefulSet's claims begin, before a dash and their number")] = ""
    size: Annotated[str, Meta(description="smallest capacity, like 20Gi; empty is any")] = ""
    storage_class: Annotated[str, Meta(description="StorageClass it must be of; empty is any")] = ""
    exact: Annotated[bool, Meta(description="the size exactly, no larger")] = False
    minimum: Annotated[int, Meta(ge=1, description="claims that must be there")] = 1

    def __post_init__(self) -> None:
        if self.size:
            parse_quantity(self.size)


class StorageClassThere(Params, frozen=True):
    """Parameters of ``storage_class``."""

    name: Annotated[str, Meta(description="the StorageClass; empty is any with this provisioner")] = ""
    default: Annotated[bool, Meta(description="it must be the cluster's one default")] = False
    provisioner: Annotated[str, Meta(description="what its provisioner's name holds, like nfs; empty is any")] = ""

    def __post_init__(self) -> None:
        if not (self.name or self.provisioner):
            raise ValueError("name the StorageClass, or a part of its provisioner's name")


def is_called(claim: str, name: str, prefix: str) -> bool:
    """Whether a claim has this name, or is one of the claims that a StatefulSet numbers and calls so."""
    start, dash, number = claim.rpartition("-")
    numbered = bool(prefix) and bool(dash) and number.isdecimal() and f"{start}-".startswith(f"{prefix}-")
    return claim == name or numbered


def _needs(_: Snapshot, params: PvcBound) -> Iterable[Need]:
    yield Objects("persistentvolumeclaims", params.namespace)
    if params.selector:
        yield Objects("pods", params.namespace)


def _select(snapshot: Snapshot, params: PvcBound) -> list[Claim]:
    found: list[Claim] = snapshot.objects("persistentvolumeclaims", params.namespace)
    if params.name or params.prefix:
        found = [item for item in found if is_called(item.metadata.name, params.name, params.prefix)]
    if params.selector:
        pods: list[Pod] = snapshot.objects("pods", params.namespace, params.selector)
        mounted = {
            volume.persistent_volume_claim.claim_name
            for pod in pods
            for volume in pod.spec.volumes
            if volume.persistent_volume_claim
        }
        found = [
            item
            for item in found
            if item.metadata.name in mounted or labels_match(item.metadata.labels, params.selector)
        ]
    if params.storage_class and not (params.name or params.prefix or params.selector):
        found = [item for item in found if _class(item) == params.storage_class]
    return found


def _class(claim: Claim) -> str:
    return claim.spec.storage_class_name or claim.metadata.annotations.get(
        "volume.beta.kubernetes.io/storage-class", ""
    )


def _evaluate(snapshot: Snapshot, params: PvcBound, now: datetime) -> Verdict:
    found = _select(snapshot, params)
    title = spelled(params.selector, params.name or params.prefix) or params.storage_class or params.namespace
    facts: dict[str, Any] = {"claims": len(found)}
    if len(found) < params.minimum:
        sentence = (
            f"{title} has {count(len(found), 'claim') if found else 'no claim'}{in_namespace(params.namespace)}, "
            f"{params.minimum} expected, so its data has no volume. Create it through its Argo CD Application."
        )
        return failing("no_claim", sentence, count(len(found), "claim"), facts=facts)
    verdicts = [_claim(item, params, now) for item in found]
    verdict = worst(verdicts)
    if len(found) == 1 or verdict.cause:
        return verdict
    sizes = listing(f"{_capacity(item)} {_class(item)}" for item in found)
    return verified(
        f"{count(len(found), 'claim')} Bound: {sizes}.",
        f"{len(found)} Bound",
        facts=facts | {"size": sizes},
        refs=tuple(one for item in verdicts for one in item.refs),
    )


def _capacity(claim: Claim) -> str:
    return claim.status.capacity.get("storage") or claim.spec.resources.requests.get("storage", "")


def _claim(claim: Claim, params: PvcBound, now: datetime) -> Verdict:
    name, size, cls = claim.metadata.name, _capacity(claim), _class(claim)
    facts = {"claim": name, "size": size, "storage_class": cls, "volume": claim.spec.volume_name, "claims": 1}
    more: dict[str, Any] = {"facts": facts, "refs": (ref(claim, "persistentvolumeclaims"),)}
    if claim.metadata.deletion_timestamp is not None:
        sentence = (
            f"{name} is being deleted{since(claim.metadata.deletion_timestamp, now)} and goes when no pod mounts it. "
            "Save its data before its pod restarts."
        )
        return degraded("deleting", sentence, "Terminating", **more)
    if claim.status.phase != "Bound":
        phase = claim.status.phase or "without a phase"
        lost = "Its volume is gone: restore it from a backup." if phase == "Lost" else ""
        advice = lost or f"Look at the provisioner of {cls or 'the default class'} and the events of the claim."
        start = since(claim.metadata.creation_timestamp, now) if phase == "Pending" else ""
        return failing(f"phase_{phase.lower()}", f"{name} is {phase}{start}. {advice}", phase, **more)
    if params.storage_class and cls != params.storage_class:
        sentence = (
            f"{name} is of class {cls or 'none'}, not {params.storage_class}. A claim keeps its class: move the data "
            "to a new claim, or correct what is expected."
        )
        return failing("other_class", sentence, f"{size} {cls or 'no class'}", **more)
    if params.size and _smaller(size, params.size):
        sentence = (
            f"{name} holds {size or 'nothing'}, {params.size} expected. Enlarge the claim if its class allows it."
        )
        return failing("too_small", sentence, f"{size or 'no'} Bound", **more)
    if params.exact and _smaller(params.size, size):
        sentence = f"{name} holds {size}, not {params.size}. Correct what is written down."
        return failing("other_size", sentence, f"{size} Bound", **more)
    return verified(f"{size} {cls} Bound.", f"{size} {cls} Bound", **more)


def _smaller(size: str, wanted: str) -> bool:
    try:
        return parse_quantity(size) < parse_quantity(wanted)
    except ValueError:
        return True


def _class_needs(_: Snapshot, __: StorageClassThere) -> Iterable[Need]:
    yield Objects(CLASSES)


def is_default(item: StorageClass) -> bool:
    return any(item.metadata.annotations.get(key) == "true" for key in _DEFAULT)


def _evaluate_class(snapshot: Snapshot, params: StorageClassThere, _: datetime) -> Verdict:
    classes: list[StorageClass] = snapshot.objects(CLASSES)
    fitting = [found for found in classes if not params.name or found.metadata.name == params.name]
    if not params.name:
        fitting = sorted((c for c in fitting if params.provisioner in c.provisioner), key=is_default, reverse=True)
    title = params.name or f"of {params.provisioner}"
    item = fitting[0] if fitting else None
    if item is None:
        others = f" There are {listing(sorted(found.metadata.name for found in classes))}." if classes else ""
        sentence = f"StorageClass {title} does not exist, so its claims stay Pending.{others} Create it again."
        return failing("no_class", sentence, "not there")
    defaults = sorted(found.metadata.name for found in classes if is_default(found))
    facts = {"provisioner": item.provisioner, "default": is_default(item), "binding": item.volume_binding_mode}
    more: dict[str, Any] = {"facts": facts, "refs": (ref(item, CLASSES),)}
    name = item.metadata.name
    if params.provisioner not in item.provisioner:
        sentence = f"{name} is provisioned by {item.provisioner}, not {params.provisioner}. Correct the class."
        return failing("other_provisioner", sentence, item.provisioner, **more)
    if params.default and name not in defaults:
        which = f"{listing(defaults)} is" if defaults else "no class is"
        sentence = (
            f"{name} is not the default: {which}. Claims that name no class "
            f"{'go elsewhere' if defaults else 'stay Pending'}. Annotate it with {_DEFAULT[0]}=true."
        )
        return failing("not_default", sentence, f"default: {listing(defaults) or 'none'}", **more)
    if params.default and len(defaults) > 1:
        sentence = (
            f"{listing(defaults)} are all marked as default; the newest wins. Leave the mark on {params.name} alone."
        )
        return degraded("several_defaults", sentence, f"{len(defaults)} defaults", **more)
    word = ", the default" if is_default(item) else ""
    return verified(f"{name}{word}, provisioned by {item.provisioner}.", f"there{word}", **more)


def _expected(params: PvcBound) -> str:
    parts = [part for part in (params.size, params.storage_class, "Bound") if part]
    return (f"≥ {params.minimum} of: " if params.minimum > 1 else "") + " ".join(parts)


def _command(params: PvcBound) -> str:
    return kubectl("get", "pvc", namespace=params.namespace)


_SIZE = r"\d{1,6}(?:[KMGTPE]i?)"


def _claim_size(match: Any, context: claims.ClaimContext) -> tuple[str, dict[str, Any]] | None:
    known = claims.component_of(match, context)
    if known is None or not context.namespace:
        return None
    found = match.groupdict()
    cls = {"storage_class": found["class"]} if found.get("class") else {}
    return "pvc_bound", {
        "namespace": context.namespace,
        "selector": known.selector,
        "size": match["size"],
        "exact": True,
        **cls,
    }


def _claim_size_here(match: Any, context: claims.ClaimContext) -> tuple[str, dict[str, Any]] | None:
    """A size said in passing counts for what its own line, or the one it belongs to, names."""
    return _claim_size(match, replace(context, parents=context.parents[:1]))


def _claim_default(match: Any, _: claims.ClaimContext) -> tuple[str, dict[str, Any]] | None:
    return "storage_class", {"name": match["class"].lower(), "default": True}


def _claim_named(match: Any, context: claims.ClaimContext) -> tuple[str, dict[str, Any]] | None:
    if not context.namespace:
        return None
    said = {"namespace": context.namespace, "name": match["name"], "size": match["size"], "exact": True}
    # people leave a StatefulSet's name and number away; a name that ends in a number is a whole one
    numbered = match["name"].rpartition("-")[2].isdecimal()
    return "pvc_bound", said if numbered else said | {"prefix": match["name"]}


def _claim_class(match: Any, _: claims.ClaimContext) -> tuple[str, dict[str, Any]] | None:
    return "storage_class", {"name": match["class"].lower()}


def _claim_nfs(_: Any, __: claims.ClaimContext) -> tuple[str, dict[str, Any]] | None:
    return "storage_class", {"provisioner": "nfs"}


TYPES = (
    CheckType(
        slug="pvc_bound",
        title="Volume is bound",
        summary="Claims are Bound, of the class and at least of the size that was said.",
        params=PvcBound,
        needs=_needs,
        evaluate=_evaluate,
        command=_command,
        expected=_expected,
        claims=(
            claims.pattern(
                rf"storage\s*:\s*`?(?P<class>[a-z][a-z0-9-]{{1,40}})`?\s*\(\s*(?P<size>{_SIZE})\s*\)", _claim_size
            ),
            claims.pattern(rf"\(\s*(?P<size>{_SIZE})\s+\w+\s+storage\s*\)", _claim_size),
            claims.pattern(
                rf"`?(?P<name>[a-z0-9][a-z0-9-]{{2,200}})`?\s*\(\s*(?P<size>{_SIZE})\s*,\s*Bound\s*\)", _claim_named
            ),
            claims.pattern(
                rf"(?P<size>{_SIZE})B?\s+(?:of\s+)?(?:\w+\s+)?(?:storage|pvc|volume|disk|nfs)\b", _claim_size_here
            ),
            claims.pattern(
                rf"\b(?:storage|pvc|volume|disk)\b[^.;,|\n]{{0,40}}?\b(?P<size>{_SIZE})B?\b", _claim_size_here
            ),
        ),
    ),
    CheckType(
        slug="storage_class",
        title="Storage class",
        summary="A StorageClass is there, and is the one default when it must be.",
        params=StorageClassThere,
        needs=_class_needs,
        evaluate=_evaluate_class,
        command=lambda p: kubectl("get", "storageclass", *filter(None, [p.name])),
        expected=lambda p: f"{p.name or p.provisioner}{', the one default' if p.default else ' exists'}",
        claims=(
            claims.pattern(r"`?(?P<class>[a-z][a-z0-9]{0,20}-[a-z0-9-]{1,40})`?\s+StorageClass\b", _claim_class),
            claims.pattern(
                r"\bdefault\s+storage\s?class\s*(?:[:=]|\bis\b)\s*`?(?!set\b|configured|missing|now\b|the\b|working|a\b)"
                r"(?P<class>[a-z][a-z0-9-]{1,40})",
                _claim_default,
            ),
            claims.pattern(
                r"`?\b(?P<class>[a-z][a-z0-9-]{1,40})`?\s+is\s+(?:now\s+)?the\s+default(?:\s+storage\s?class)?\b",
                _claim_default,
            ),
            claims.pattern(r"\bNFS storage class (?:is )?(?:configured|working|set)", _claim_nfs),
        ),
    ),
)
