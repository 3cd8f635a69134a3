"""*Set the image* and *set the resources* of one container of a Deployment (K23)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Annotated, Any

import msgspec

from deployments.catalogue import texts
from deployments.catalogue.action import MARK, Action, CannotPlan, Patch, PlanDraft, Precondition, Rule
from deployments.catalogue.argo import ownership
from deployments.catalogue.workloads import drop_container, git, rolling, targets, templates
from deployments.catalogue.workloads.asked import DeploymentParams
from deployments.catalogue.workloads.targets import DEPLOYMENTS
from integrations.kubernetes.objects import Node, Workload
from monitoring.checks.quantities import parse_quantity
from monitoring.checks.text import clean, listing
from monitoring.snapshot import Need, Objects, Raw, Snapshot

_KIND = "Deployment"
#: a reference with a tag, a digest or both (distribution/reference); nobody's password stands in one
_IMAGE = re.compile(
    r"(?P<name>(?:[A-Za-z0-9][A-Za-z0-9.-]*(?::\d{1,5})?/)?[a-z0-9]+(?:(?:[._]|__|-+|/)[a-z0-9]+)*)"
    r"(?::(?P<tag>\w[\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_AMOUNTS = ("cpu", "memory")
#: what takes an amount out
NONE = "none"
_Container = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", description="Container")]
_FAILS = "Old pods stay until new ones are ready where the strategy is RollingUpdate with maxUnavailable 0."


class SetImageParams(DeploymentParams, frozen=True, kw_only=True):
    """Which container, and the image it shall run."""

    container: _Container
    image: Annotated[
        str, msgspec.Meta(min_length=1, max_length=500, description="Image with a tag or digest, registry/name:tag")
    ]

    def __post_init__(self) -> None:
        found = _IMAGE.fullmatch(self.image)
        if found is None:
            raise texts.Refused("image", "the image is not written like registry/name:tag or registry/name@sha256:…")
        if not (found["tag"] or found["digest"]):
            raise texts.Refused("image", "the image has no tag and no digest: what runs would change by itself")


def _amount(what: str) -> Any:
    about = f"{what}, like 200m or 256Mi; {NONE} takes it out, empty leaves it"
    return Annotated[str, msgspec.Meta(max_length=20, description=about)]


class SetResourcesParams(DeploymentParams, frozen=True, kw_only=True):
    """Which container, and what it asks for and may use. Empty: as it is."""

    container: _Container
    cpu_request: _amount("CPU it asks for") = ""  # type: ignore[valid-type]
    memory_request: _amount("Memory it asks for") = ""  # type: ignore[valid-type]
    cpu_limit: _amount("CPU it may use") = ""  # type: ignore[valid-type]
    memory_limit: _amount("Memory it may use") = ""  # type: ignore[valid-type]

    def __post_init__(self) -> None:
        wanted = self.wanted
        if not wanted:
            raise ValueError("say at least one of cpu_request, memory_request, cpu_limit and memory_limit")
        for part, amounts in wanted.items():
            for what, amount in amounts.items():
                with texts.named(f"{what}_{part.removesuffix('s')}"):
                    if amount is not None and parse_quantity(amount) <= 0:
                        raise ValueError(f"{amount!r} is no amount. Write it like 200m or 256Mi")

    @property
    def wanted(self) -> dict[str, dict[str, str | None]]:
        """What is to be set, as ``resources`` holds it; None takes it out."""
        given = {
            "requests": {"cpu": self.cpu_request, "memory": self.memory_request},
            "limits": {"cpu": self.cpu_limit, "memory": self.memory_limit},
        }
        kept = {part: {k: None if v == NONE else v for k, v in said.items() if v} for part, said in given.items()}
        return {part: said for part, said in kept.items() if said}


def needs(snapshot: Snapshot, params: SetImageParams | SetResourcesParams) -> Iterable[Need]:
    """The Deployment, also whole, its pods, what their end touches, and the nodes they may run on."""
    yield from rolling.needs_of(snapshot, _KIND, params.namespace, params.name)
    yield Raw(DEPLOYMENTS, params.namespace, params.name)
    if isinstance(params, SetResourcesParams):
        yield Objects("nodes")


def draft_image(snapshot: Snapshot, params: SetImageParams) -> PlanDraft:
    """One strategic patch of the container and the wait for the rollout. :raises CannotPlan: no such container."""
    item, raw, field, container = _found(snapshot, params)
    now = str(container.get("image", ""))
    preconditions = (
        Precondition(f"Container {params.container} runs another image", now != params.image, clean(now, 300)),
        _fixed(params.image),
    )
    return _draft(
        snapshot,
        params,
        (item, raw, field),
        {"image": params.image},
        ("image",),
        f"set the image of container {params.container} of Deployment {params.name} to {params.image}",
        preconditions,
        _image_values(params, now),
        f"The portal asks no registry: if the image cannot be pulled, no new pod starts and the run fails. {_FAILS}",
    )


def draft_resources(snapshot: Snapshot, params: SetResourcesParams) -> PlanDraft:
    """One strategic patch of the container and the wait for the rollout. :raises CannotPlan: no such container."""
    item, raw, field, container = _found(snapshot, params)
    now = container.get("resources") or {}
    after = _after(now, params.wanted)
    preconditions = (
        Precondition("It asks for something else now", after != _after(now, {}), _words(now)),
        _in_limits(after),
        _fits(snapshot, raw, field, params.container, after),
    )
    said = ", ".join(
        f"{part.removesuffix('s')} of {name} {amount or 'taken out'}"
        for part, amounts in params.wanted.items()
        for name, amount in amounts.items()
    )
    return _draft(
        snapshot,
        params,
        (item, raw, field),
        {"resources": params.wanted},
        ("resources",),
        f"set resources of container {params.container} of Deployment {params.name}: {said}",
        preconditions,
        _resource_values(params),
        f"A pod that no node has room for stays Pending, and the run fails. {_FAILS}",
    )


# -- the parts


def _found(
    snapshot: Snapshot, params: SetImageParams | SetResourcesParams
) -> tuple[Workload, dict[str, Any], str, dict[str, Any]]:
    item = targets.find(snapshot, _KIND, params.namespace, params.name)
    raw = snapshot.raw(DEPLOYMENTS, params.namespace, params.name)
    if raw is None:
        raise CannotPlan(f"Deployment {params.name} went away while the plan was made.")
    return item, raw, *drop_container.find(raw, params.container)


def _draft(
    snapshot: Snapshot,
    params: SetImageParams | SetResourcesParams,
    found: tuple[Workload, dict[str, Any], str],
    change: dict[str, Any],
    below: git.Path,
    said: str,
    preconditions: tuple[Precondition, ...],
    values: dict[str, Any] | None,
    more: str,
) -> PlanDraft:
    item, raw, field = found
    path = (*git.container_path(field, params.container), *below)
    patched = {"name": params.container, **change}
    body = {"metadata": {"annotations": {MARK: "${run.mark}"}}, "spec": {"template": {"spec": {field: [patched]}}}}
    way = git.way(snapshot, item, said, values)
    return PlanDraft(
        params=msgspec.to_builtins(params),
        preconditions=(
            rolling.not_paused(item),
            *preconditions,
            targets.nobody_above(_KIND, item.metadata),
            git.stays(snapshot, item.metadata, raw, path, f"{below[-1]} of container {params.container}"),
        ),
        steps=(
            rolling.step(
                _KIND,
                item,
                Patch("strategic", body),
                verb="set",
                title=f"{said[0].upper()}{said[1:]}",
                how="strategic merge patch",
                seconds=params.rollout_seconds,
            ),
        ),
        verification=rolling.verification(_KIND, item, params.hold_seconds),
        undo=_UNDO,
        blast=rolling.blast(snapshot, _KIND, item, more if targets.wanted(_KIND, item) else ""),
        managed_by=git.managed_by(snapshot, item.metadata, raw, path),
        git_way=way.sentence,
        git_patch=way.text,
        git_change=way.change,
        locks=ownership.locks(snapshot, item.metadata),
    )


def _fixed(image: str) -> Precondition:
    found = _IMAGE.fullmatch(image)
    assert found is not None
    sentence = "The image is one version, and stays that"
    if found["digest"]:
        return Precondition(sentence, True, f"by digest {found['digest'][:19]}…")
    moving = found["tag"] in ("latest", "main", "master", "edge", "nightly", "stable")
    said = "moves: the next restart may run something else" if moving else "tag"
    return Precondition(sentence, not moving, f"{found['tag']} {said}" if moving else f"{said} {found['tag']}")


def _after(now: Mapping[str, Any], wanted: Mapping[str, Mapping[str, str | None]]) -> dict[str, dict[str, Decimal]]:
    """The amounts of CPU and memory once the patch is made."""
    found: dict[str, dict[str, Decimal]] = {}
    for part in ("requests", "limits"):
        merged = {**(now.get(part) or {}), **wanted.get(part, {})}
        found[part] = {k: _quantity(str(merged[k])) for k in _AMOUNTS if merged.get(k) is not None}
    return found


def _quantity(text: str) -> Decimal:
    try:
        return parse_quantity(text)
    except ValueError:
        return Decimal(0)


def _words(now: Mapping[str, Any]) -> str:
    parts = [
        f"{part} {', '.join(f'{k} {clean(str(v), 20)}' for k, v in sorted(amounts.items()))}"
        for part in ("requests", "limits")
        if isinstance(amounts := now.get(part), Mapping) and amounts
    ]
    return "; ".join(parts) or "it asks for nothing and has no limits"


def _in_limits(after: Mapping[str, Mapping[str, Decimal]]) -> Precondition:
    over = [k for k, asked in after["requests"].items() if k in after["limits"] and asked > after["limits"][k]]
    said = f"{listing(over)} asked for would be more than the limit" if over else "no request is above its limit"
    return Precondition("It asks for no more than it may use", not over, said)


def _fits(
    snapshot: Snapshot, raw: Mapping[str, Any], field: str, name: str, after: Mapping[str, Mapping[str, Decimal]]
) -> Precondition:
    """By what nodes have at all: a pod that asks for more than any of them never starts. :raises Missing:"""
    asked = dict.fromkeys(_AMOUNTS, Decimal(0))
    for part, container in templates.containers(raw["spec"]["template"]):
        mine = part == field and container.get("name") == name
        own = after if mine else _after(container.get("resources") or {}, {})
        # of a limit without a request the API server makes the request
        amounts = {**own["limits"], **own["requests"]}
        for key in _AMOUNTS:
            more = amounts.get(key, Decimal(0))
            asked[key] = max(asked[key], more) if part == "initContainers" else asked[key] + more
    nodes: list[Node] = snapshot.objects("nodes")
    fitting = [node for node in nodes if all(_has(node, key, asked[key]) for key in _AMOUNTS)]
    need = f"a pod asks for {asked['cpu']:f} cores and {asked['memory'] / 2**20:.0f} MiB"
    said = f"{need}; {len(fitting)} of {len(nodes)} nodes have as much in all" if fitting else f"{need}, no node has it"
    return Precondition("A node is large enough for one of its pods", bool(fitting), said)


def _has(node: Node, key: str, amount: Decimal) -> bool:
    """What a node does not say counts as enough."""
    text = node.status.allocatable.get(key)
    return not text or _quantity(text) >= amount


def _image_values(params: SetImageParams, now: str) -> dict[str, Any] | None:
    """The values of the Grafana chart that set the same, for its container ``grafana``."""
    new, old = _IMAGE.fullmatch(params.image), _IMAGE.fullmatch(now)
    if params.container != "grafana" or new is None or old is None or new["name"] != old["name"] or not new["tag"]:
        return None
    digest = {"image.sha": new["digest"].removeprefix("sha256:")} if new["digest"] else {}
    return {"image.tag": new["tag"], **digest}


def _resource_values(params: SetResourcesParams) -> dict[str, Any] | None:
    amounts = [(f"resources.{part}.{k}", v) for part, said in params.wanted.items() for k, v in said.items()]
    if params.container != "grafana" or any(value is None for _, value in amounts):
        return None
    return dict(amounts)


_UNDO = "Put the container back as it was, as a new rollout."
_VERIFIED = "The rollout is complete by the rules of kubectl rollout status; then the check workload_ready holds."
_RULES = (Rule("apps", "deployments", ("get", "patch")),)

IMAGE = Action(
    slug="set-image",
    title="Set an image",
    family="Workloads",
    tier=2,
    summary="Let one container of a Deployment run another image, and wait for the rollout.",
    params=SetImageParams,
    needs=needs,
    draft=draft_image,
    rules=_RULES,
    undo=f"{_UNDO} What the new version wrote meanwhile, it wrote.",
    undoable=True,
    undo_on_failure=True,
    noise=("spec.replicas",),
    guards=(
        "the image has a tag that does not move, or a digest",
        "the rollout is not paused and the image is another one",
        "Argo CD would not set it back at once; where the value of the Grafana chart is known it comes first",
    ),
    verified_by=_VERIFIED,
    reference="https://kubernetes.io/docs/concepts/containers/images/",
)

RESOURCES = Action(
    slug="set-resources",
    title="Set resources",
    family="Workloads",
    tier=1,
    summary="Set what one container of a Deployment asks for and may use of CPU and memory.",
    params=SetResourcesParams,
    needs=needs,
    draft=draft_resources,
    rules=_RULES,
    undo=_UNDO,
    undoable=True,
    undo_on_failure=True,
    noise=("spec.replicas",),
    guards=(
        "no request is above its limit, and a node is large enough for one pod",
        "the rollout is not paused and the amounts are other ones",
        "Argo CD would not set it back at once; where the value of the Grafana chart is known it comes first",
    ),
    verified_by=_VERIFIED,
    reference="https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/",
)
