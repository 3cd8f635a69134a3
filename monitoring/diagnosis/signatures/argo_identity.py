"""A9: an Application renders other names than what runs: a sync would install a second stack beside the first.

A lost tracking id alone does not do this: Argo CD also matches live objects by kind, namespace and name (gitops-engine
pkg/cache/cluster.go GetManagedLiveObjs). What does is another release name, an override, or another destination.
"""

from __future__ import annotations

from collections.abc import Iterable

from integrations.kubernetes.custom import Application, AppResource
from integrations.kubernetes.objects import Workload
from monitoring.checks.text import clean, count, listing
from monitoring.checks.workloads import PLURALS
from monitoring.diagnosis.argo_words import facts, for_app, name_of
from monitoring.diagnosis.base import Layer, Signature, finding
from monitoring.diagnosis.owning import missing_of, owner_name
from monitoring.diagnosis.remedies import PAUSE_SYNC
from monitoring.diagnosis.scene import Scene
from monitoring.snapshot import Need, Objects
from monitoring.verdict import Finding

_RELEASE = "app.kubernetes.io/instance"
_KEEPS = 4  # letters two names must end in alike: "-grafana" is plenty, "s" is nothing


def needs(scene: Scene) -> Iterable[Need]:
    if scene.application is not None and _lost(scene, scene.application):
        for key in PLURALS.values():
            yield Objects(key)


def _lost(scene: Scene, app: Application) -> list[AppResource]:
    """Workloads that Argo CD wants and does not find, when it finds none of them."""
    workloads = [item for item in app.status.resources if item.kind in PLURALS]
    missing = [item for item in missing_of(scene, app) if item.kind in PLURALS]
    return missing if missing and len(missing) == len(workloads) else []


def find(scene: Scene) -> Finding | None:
    app = scene.application
    missing = _lost(scene, app) if app is not None else []
    if app is None or not missing:
        return None
    pairs = [(item, live) for item in missing if (live := _twin(scene, app, item)) is not None]
    if len(pairs) < (2 if len(missing) > 1 else 1):
        return None
    wanted, live = pairs[0]
    moved = wanted.namespace != live.metadata.namespace
    releases = sorted({item.metadata.labels.get(_RELEASE, "") for _, item in pairs} - {""})
    told = _release(app)
    why = (
        f"they run in {live.metadata.namespace}, and it deploys to {wanted.namespace}"
        if moved
        else f"they run as release {listing(releases)}, and it renders release {told}"
        if releases and told not in releases
        else "they run under other names"
    )
    return finding(
        "A9",
        "renders_other_names",
        "The Application renders other objects than what runs",
        f"{name_of(app)} finds none of its {count(len(missing), 'workload')}, while "
        f"{listing(i.metadata.name for _, i in pairs)} "
        f"run: {why}. Do not sync: it would install a second stack. Restore releaseName and destination in Git first.",
        (
            *facts(app, app.status.operation_state, scene),
            *(
                f"wants {w.kind} {w.namespace}/{w.name}; live is {i.metadata.namespace}/{i.metadata.name}"
                for w, i in pairs[:4]
            ),
            f"helm.releaseName: {told} ({'set' if _set(app) else 'its default, the name of the Application'})",
            f"live release (label {_RELEASE}): {listing(releases)}" if releases else "",
        ),
        0.92,
        remedies=(for_app(app, PAUSE_SYNC),),
    )


def _twin(scene: Scene, app: Application, item: AppResource) -> Workload | None:
    """A live workload that is what the wanted one was before: the same name elsewhere, or the same end of its name."""
    every: list[Workload] = (
        scene.read(PLURALS[item.kind])
        if scene.known(PLURALS[item.kind])
        else scene.read(PLURALS[item.kind], item.namespace)
    )
    others = [
        live
        for live in every
        if owner_name(live.metadata) in {"", app.metadata.name} or live.metadata.labels.get(_RELEASE)
    ]
    same = [live for live in others if live.metadata.name == item.name and live.metadata.namespace != item.namespace]
    if same:
        return same[0]
    near = [live for live in others if live.metadata.namespace == item.namespace and live.metadata.name != item.name]
    ranked = sorted(near, key=lambda live: (-_alike(live.metadata.name, item.name), live.metadata.name))
    return ranked[0] if ranked and _alike(ranked[0].metadata.name, item.name) >= _KEEPS else None


def _alike(one: str, other: str) -> int:
    """How many letters of whole words two names end in alike (``-grafana``)."""
    ends: list[str] = []
    for a, b in zip(reversed(one.split("-")), reversed(other.split("-")), strict=False):
        if a != b:
            break
        ends.append(a)
    return sum(len(word) for word in ends)


def _set(app: Application) -> str:
    sources = [*([app.spec.source] if app.spec.source else []), *(app.spec.sources or [])]
    return next((source.helm.release_name for source in sources if source.helm and source.helm.release_name), "")


def _release(app: Application) -> str:
    return clean(_set(app) or app.metadata.name, 80)


SIGNATURES = (
    Signature(
        "A9",
        Layer.SOURCE,
        "An Application renders other names or another namespace than what runs.",
        "https://argo-cd.readthedocs.io/en/stable/user-guide/helm/#helm-release-name",
        find,
        needs,
    ),
)
