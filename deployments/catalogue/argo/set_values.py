"""*Set Helm values* of an Application in the cluster, when Git has to wait; the same change as a patch for Git is made.

Where the values are a text (``values:``) the text is edited and stays a text: a ``valuesObject`` set beside it would
make Argo CD ignore the text entirely. Where they are a map, the map is patched. Credentials inside the values are
neither shown nor stored; they travel as placeholders (``argo.credentials``). A parent Application that heals reverts
the change within seconds: then it belongs into Git.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated, Any

import msgspec

from deployments.catalogue import texts
from deployments.catalogue.action import (
    Action,
    Blast,
    CannotPlan,
    CheckSpec,
    Condition,
    PlanDraft,
    Precondition,
    Rule,
    StepSpec,
    Verification,
)
from deployments.catalogue.argo import calls, credentials, git_file, git_patch, helm, reading, targets, values
from deployments.catalogue.argo.sync import sync_step
from deployments.catalogue.argo.values import Edit
from integrations.kubernetes.custom import Application
from monitoring.snapshot import Missing, Need, Raw, Snapshot

_UNDO = "Set the old values again; while a value is a credential, the portal keeps no copy of the text to put back."
#: values whose loss takes definitions, and with them everything of their kind
_CRDS = ("crds", "enabled")


class ValuesParams(targets.VerifiedParams, frozen=True, kw_only=True):
    """Which Application, which values, and where its manifest stands in Git."""

    values: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=8000,
            description="path=value, commas between; path- takes one out; a dot in a key is \\.",
        ),
    ]
    git_file: Annotated[
        str, msgspec.Meta(max_length=300, description="File of its manifest in Git, for the patch; empty: guessed")
    ] = ""

    def __post_init__(self) -> None:
        with texts.named("values"):
            edits = values.parse(self.values)
        secret = values.credential(edits)
        if secret:
            raise texts.Refused("values", f"{secret} would put a credential into a plan; refer to a Secret instead")
        if self.git_file and not git_file.is_file(self.git_file):
            raise texts.Refused("git_file", "git_file is not the path of a YAML file inside a repository")


def needs(snapshot: Snapshot, params: ValuesParams) -> Iterable[Need]:
    """Applications and projects, and the Application whole."""
    yield from targets.needs(snapshot, params)
    with suppress(Missing, CannotPlan):
        app = targets.find(snapshot, params)
        yield Raw(calls.APPLICATIONS, app.metadata.namespace, app.metadata.name)


def draft(snapshot: Snapshot, params: ValuesParams) -> PlanDraft:
    """One patch with a refresh in it, then a sync (by auto-sync, or ours). :raises CannotPlan, Missing:"""
    app = targets.find(snapshot, params)
    apps: list[Application] = snapshot.objects(calls.APPLICATIONS)
    raw = snapshot.raw(calls.APPLICATIONS, app.metadata.namespace, app.metadata.name)
    place = helm.located(app)
    if raw is None or place is None:
        raise CannotPlan(f"{app.metadata.name} has no Helm source, or several; its values cannot be set here.")
    edits = values.parse(params.values)
    before = _now(place, app.metadata.name)
    try:
        after = values.applied(before, edits)
        spec = _spec(raw, place, edits)
    except ValueError as error:
        raise CannotPlan(f"The values of {app.metadata.name} cannot be set here: {error}.") from None
    git = git_patch.for_values(snapshot, app, edits, params.git_file)
    automated = reading.is_automated(app)
    return PlanDraft(
        params=msgspec.to_builtins(params) | targets.named(app) | {"values": ", ".join(map(str, edits))},
        preconditions=(
            targets.alive(app),
            targets.window_open(snapshot, app),
            targets.idle(app),
            targets.not_reverted(app, apps, f"{place.pointer}/helm/{'values' if _is_text(place) else 'valuesObject'}"),
            Precondition("The values change", not values.same(before, after), _changes(before, edits)),
            not_overridden(place, edits),
            _keeps_definitions(app, after),
        ),
        steps=tuple(_steps(app, spec, automated=automated)),
        verification=Verification(
            (CheckSpec("Argo CD agrees", "argocd_application", targets.where(app)),),
            params.hold_seconds,
            max(params.verify_seconds, params.hold_seconds + 5),
        ),
        undo=_undo(before, edits),
        blast=_blast(app, automated=automated),
        managed_by=targets.managed_by(app, apps, asks=False),
        git_way=git.sentence,
        git_patch=git.text,
        git_change=git.change,
        locks=tuple(targets.ref(r) for r in targets.ordered(app.status.resources) if not r.hook),
    )


# -- what is written


def _now(place: helm.Located, name: str) -> dict[str, Any]:
    """The values as they are, without what ``parameters`` set. :raises CannotPlan: they cannot be read."""
    settings = place.source.helm
    if settings is None:
        return {}
    if settings.values_object is not None:
        found = settings.values_object
    else:
        found = helm.read_yaml(settings.values) if settings.values.strip() else {}
    if not isinstance(found, dict):
        raise CannotPlan(f"The values of {name} cannot be read; change them in Git.")
    return found


def _is_text(place: helm.Located) -> bool:
    settings = place.source.helm
    return settings is not None and settings.values_object is None and bool(settings.values.strip())


def _spec(raw: dict[str, Any], place: helm.Located, edits: tuple[Edit, ...]) -> dict[str, Any]:
    """The merge patch of the spec. :raises ValueError: it cannot be written safely."""
    part = helm_change(place, edits)
    parts = place.pointer.strip("/").split("/")
    if parts[1] == "source":
        return {"source": {"helm": part}}
    # a list is sent whole: the resourceVersion makes that safe
    index = int(parts[2])
    whole: list[Any] = credentials.masked_tree(raw["spec"]["sources"], "/spec/sources")
    settings = dict(whole[index].get("helm") or {})
    if "values" in part:
        settings["values"] = part["values"]
    else:
        settings["valuesObject"] = _merged(settings.get("valuesObject"), part["valuesObject"])
    whole[index] = {**whole[index], "helm": settings}
    return {"sources": whole}


def helm_change(place: helm.Located, edits: tuple[Edit, ...]) -> dict[str, Any]:
    """The change of ``helm``: the edited text, or a merge patch of the map. :raises ValueError: it cannot be edited."""
    settings = place.source.helm
    if settings is not None and _is_text(place):
        text = settings.values
        pointer = f"{place.pointer}/helm/values"
        return {"values": credentials.mask(values.edited(text, edits), text, pointer)}
    patch: dict[str, Any] = {}
    existing = settings.values_object if settings is not None else None
    for edit in edits:
        if edit.remove and _at(existing, edit.path) is _ABSENT:
            continue
        _put(patch, edit.path, None if edit.remove else edit.value)
    return {"valuesObject": patch}


_ABSENT = object()


def _at(found: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if not isinstance(found, dict) or name not in found:
            return _ABSENT
        found = found[name]
    return found


def _put(into: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    head, *rest = path
    if rest:
        _put(into.setdefault(head, {}), tuple(rest), value)
    else:
        into[head] = value


def _merged(into: Any, patch: Any) -> Any:
    """RFC 7386, for a list that is sent whole."""
    if not isinstance(patch, dict):
        return patch
    result = dict(into) if isinstance(into, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result


# -- preconditions


def _changes(before: dict[str, Any], edits: tuple[Edit, ...]) -> str:
    return "; ".join(f"{e.name}: {_shown(_at(before, e.path), e)} → {_after(e)}" for e in edits)


def _after(edit: Edit) -> str:
    return "taken out" if edit.remove else json.dumps(edit.value, ensure_ascii=False)


def _shown(value: Any, edit: Edit) -> str:
    if value is _ABSENT:
        return "not set"
    if credentials.holds_any(value, edit.path[-1]):
        return "a credential" if not isinstance(value, dict | list) else "holds a credential"
    return json.dumps(value, ensure_ascii=False)[:200]


def not_overridden(place: helm.Located, edits: tuple[Edit, ...]) -> Precondition:
    """``parameters`` win over both kinds of values."""
    sentence = "Nothing else overrides these values"
    given = (place.source.helm.parameters if place.source.helm is not None else None) or []
    names = [str(p.get("name", "")) for p in given if isinstance(p, dict)]
    hit = [n for n in names for e in edits if n == e.name or n.startswith(f"{e.name}.") or e.name.startswith(f"{n}.")]
    if hit:
        return Precondition(sentence, False, f"helm.parameters sets {hit[0]}, which wins; take it out there first")
    return Precondition(sentence, True, f"{len(names)} parameters, none of them about these values")


def _keeps_definitions(app: Application, after: dict[str, Any]) -> Precondition:
    """With prune on, a chart that no longer renders its CRDs has them deleted, and everything of their kinds."""
    sentence = "No definition is pruned by it"
    automated = app.spec.sync_policy.automated
    prunes = automated is not None and automated.prune
    crds = [r.name for r in app.status.resources if r.kind == "CustomResourceDefinition"]
    off = _at(after, _CRDS) is False
    if off and prunes and crds:
        return Precondition(
            sentence, False, f"crds.enabled is false and auto-sync prunes: {reading.some(crds)} would go"
        )
    return Precondition(sentence, True, "prune is off" if not prunes else f"{len(crds)} definitions stay rendered")


# -- steps and words


def _steps(app: Application, spec: dict[str, Any], *, automated: bool) -> Iterable[StepSpec]:
    where = targets.where(app)
    yield targets.step(app)(
        verb="set",
        title=f"Set values of {app.metadata.name} and let Argo CD compare",
        how="merge patch",
        timeout_seconds=180,
        effect=calls.spec_patch(spec, {calls.REFRESH: "normal"}),
        guards=(Condition("argocd_idle", where),),
        until=Condition("argocd_refreshed", where),
    )
    yield targets.step(app)(
        verb="compare",
        title="Stop if Argo CD cannot render the new values",
        how="read",
        timeout_seconds=120,
        until=Condition("argocd_compared", where),
    )
    if not automated:
        yield sync_step(app, [], f"Sync {app.metadata.name}, prune off")


def _undo(before: dict[str, Any], edits: tuple[Edit, ...]) -> str:
    """The edits that bring the old values back, as far as they are no credentials."""
    back: list[str] = []
    for edit in edits:
        old = _at(before, edit.path)
        if old is _ABSENT:
            back.append(f"{edit.name}-")
        elif credentials.holds_any(old, edit.path[-1]):
            return _UNDO
        else:
            back.append(str(Edit(edit.path, old)))
    return f"Set Helm values again, with: {', '.join(back)}"


def _blast(app: Application, *, automated: bool) -> Blast:
    policy = app.spec.sync_policy.automated
    prunes = automated and policy is not None and policy.prune
    what = "Argo CD applies what the chart renders from them by itself (auto-sync)" if automated else "One sync follows"
    pruned = ", and prunes what the chart no longer renders" if prunes else ", prune off"
    return Blast(
        changed=(f"Application {app.metadata.name}",),
        sentence=f"{what}{pruned}; workloads whose pod template changes restart.",
    )


ACTION = Action(
    slug="set-helm-values",
    title="Set Helm values",
    family="Argo CD",
    tier=2,
    summary="Change values of an Application in the cluster, with the same change as a patch for Git. Git comes first.",
    params=ValuesParams,
    needs=needs,
    draft=draft,
    rules=(Rule("argoproj.io", "applications", ("get", "patch")),),
    undo=_UNDO,
    undoable=True,
    guards=(
        "No parent Application and no ApplicationSet reverts the change.",
        "A text of values stays a text; valuesObject is never set beside it.",
        "No credential is given, shown or stored; those that are there already are written back as they are.",
        "With prune on, the chart's definitions stay rendered.",
    ),
    verified_by="Argo CD renders the new values, then Synced and Healthy for the time asked for.",
    reference="https://argo-cd.readthedocs.io/en/stable/user-guide/helm/#values",
)
