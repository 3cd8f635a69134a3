"""Why a container does not come up: what it says itself, what the kubelet says of it. Grafana's own and anybody's."""

from __future__ import annotations

from datetime import datetime

from integrations.kubernetes.objects import Container
from monitoring.checks.pods import condition
from monitoring.checks.text import clean, count, listing, phrase
from monitoring.diagnosis import values
from monitoring.diagnosis.scene import Bad, Default, Scene, defaults
from monitoring.diagnosis.signature import (
    CONTAINER,
    INIT,
    MORE_TIME,
    NO_NFS,
    ONE_DEFAULT,
    REPAIR,
    USE_PROMETHEUS,
    Signature,
    event_line,
    from_then,
    iso,
    log_line,
    shown,
)
from monitoring.verdict import Finding

# grafana: pkg/services/provisioning/datasources ErrInvalidConfigToManyDefault
TWO_DEFAULTS = ("only one datasource per organization can be marked as default",)
_LOCKED = ("database is locked", "disk i/o error")
_MIGRATING = ("starting db migrations", "executing migration", 'msg="migrations')
_NOT_WRITABLE = ("is not writable", "permission denied")
_IMAGE = {"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}


def _main(scene: Scene) -> list[Bad]:
    """Containers that do the work: Grafana's own in its pod, every one elsewhere."""
    if scene.kind != "grafana":
        return [bad for bad in scene.bad if not bad.init]
    return [bad for bad in scene.bad if not bad.init and not bad.status.name.startswith("grafana-sc-")]


def _ended(bad: Bad) -> datetime | None:
    last = bad.status.last_state.terminated or bad.status.state.terminated
    return last.finished_at if last else None


def _state(bad: Bad) -> str:
    """``grafana: CrashLoopBackOff, 6 restarts, last exit code 1``."""
    last = bad.status.state.terminated or bad.status.last_state.terminated
    parts = [bad.waiting or ("running" if bad.status.state.running else "ended")]
    if bad.status.restart_count:
        parts.append(count(bad.status.restart_count, "restart"))
    if last is not None:
        parts.append(f"last exit code {last.exit_code}{f' ({last.reason})' if last.reason else ''}")
    return f"{bad.pod.metadata.name} {bad.status.name}: {', '.join(parts)}"


def two_defaults(scene: Scene) -> Finding | None:
    """G2: two datasources marked as default across the provisioning files; Grafana ends with exit code 1."""
    if scene.kind != "grafana":
        return None
    marked = defaults(scene)
    for bad in _main(scene):
        line = bad.log_has(TWO_DEFAULTS)
        failed = bad.waiting == "CrashLoopBackOff" or bad.status.restart_count > 0
        if not line and not (failed and len(marked) > 1 and not bad.lines):
            continue
        sentence = (
            f"Grafana ends at its start because {len(marked)} datasources are marked as default: {_where(marked)}. "
            if len(marked) > 1
            else "Grafana ends at its start because more than one datasource is marked as default. "
        ) + "Leave isDefault on one of them; restarting does not help."
        evidence = [f"{item.where}: datasource {item.name} has isDefault: true" for item in marked]
        evidence += _in_values(scene)
        evidence += [log_line(bad.status.name, line)] if line else []
        return Finding(
            id="G2",
            cause="two_default_datasources",
            title="Two datasources are marked as default",
            sentence=sentence,
            evidence=(*evidence, _state(bad)),
            confidence=0.98 if line and len(marked) > 1 else 0.9 if line else 0.7,
            remedies=(ONE_DEFAULT, USE_PROMETHEUS),
            reference="grafana: ErrInvalidConfigToManyDefault",
            at=iso(_ended(bad)),
        )
    return None


def _where(marked: list[Default]) -> str:
    places = list(dict.fromkeys(item.where for item in marked))
    return listing(f"{listing(i.name for i in marked if i.where == place)} in {place}" for place in places)


def _in_values(scene: Scene) -> list[str]:
    """Where in the Application's values the marks come from."""
    found = values.at(scene.values, "grafana.additionalDataSources")
    return [
        f"values grafana.additionalDataSources: {clean(str(entry.get('name', '')), 80)} has isDefault: true"
        for entry in (found if isinstance(found, list) else [])
        if isinstance(entry, dict) and entry.get("isDefault") is True
    ]


def locked_database(scene: Scene) -> Finding | None:
    """G3: SQLite on a network disk, or two pods on one file."""
    for bad in _main(scene) if scene.kind == "grafana" else []:
        line = bad.log_has(_LOCKED)
        claims = [v for v in bad.pod.spec.volumes if v.persistent_volume_claim]
        hung = bool(claims) and bool(bad.lines) and _is_migrating(bad.lines[-1])
        if not line and not hung:
            continue
        word = "is locked" if line else "hangs in its migration"
        sentence = (
            f"Grafana's database {word}: SQLite on a network volume does not lock well, and two pods share one file "
            "during a rollout. Turn persistence off, or use another database, with strategy Recreate."
        )
        claim = claims[0].persistent_volume_claim if claims else None
        evidence = [log_line(bad.status.name, line or bad.lines[-1]), _state(bad)]
        evidence += [f"volume {claims[0].name}: claim {claim.claim_name}"] if claim else []
        return Finding(
            id="G3",
            cause="sqlite_on_network_volume",
            title="Grafana's database is locked",
            sentence=sentence,
            evidence=tuple(evidence),
            confidence=0.9 if line else 0.6,
            remedies=(NO_NFS, USE_PROMETHEUS),
            at=iso(_ended(bad)),
        )
    return None


def _is_migrating(line: str) -> bool:
    return any(words in line.lower() for words in _MIGRATING)


def not_writable(scene: Scene) -> Finding | None:
    """G5: the data folder belongs to somebody else."""
    for bad in _main(scene) if scene.kind == "grafana" else []:
        line = bad.log_has(_NOT_WRITABLE)
        if line and "/var/lib/grafana" in line:
            return Finding(
                id="G5",
                cause="data_not_writable",
                title="Grafana may not write its data folder",
                sentence="Grafana may not write /var/lib/grafana on its volume. Give the export to uid 472, or turn "
                "persistence off.",
                evidence=(log_line(bad.status.name, line), _state(bad)),
                confidence=0.9,
                remedies=(NO_NFS, USE_PROMETHEUS),
                at=iso(_ended(bad)),
            )
    return None


def missing_secret(scene: Scene) -> Finding | None:
    """G6: a Secret or ConfigMap the container names is not there, or lacks a key."""
    for bad in [*_main(scene), *(b for b in scene.bad if b.init)]:
        if bad.waiting in {"CreateContainerConfigError", "CreateContainerError"} and bad.status.state.waiting:
            text = clean(bad.status.state.waiting.message)
            return Finding(
                id="G6",
                cause="missing_configuration",
                title="Something the container needs is not there",
                sentence=f"{bad.status.name} cannot be made: {text}. Create it; the kubelet tries again by itself.",
                evidence=(f"{bad.pod.metadata.name} {bad.status.name}: {bad.waiting}: {text}",),
                confidence=0.97,
                remedies=(REPAIR,) if scene.kind == "grafana" else (),
            )
    return None


def resources(scene: Scene) -> Finding | None:
    """G7: out of memory, evicted, or an image that cannot be pulled."""
    for bad in scene.bad:
        ended = bad.status.state.terminated or bad.status.last_state.terminated
        if bad.waiting in _IMAGE:
            text = clean(bad.status.state.waiting.message if bad.status.state.waiting else "")
            return Finding(
                id="G7",
                cause="image_pull",
                title="The image cannot be pulled",
                sentence=f"The node cannot pull {clean(bad.status.image or _image(bad), 160)} for {bad.status.name}. "
                "Correct its name and tag, or the way to the registry.",
                evidence=(f"{bad.pod.metadata.name} {bad.status.name}: {bad.waiting}: {text}",),
                confidence=0.97,
            )
        if ended is not None and ended.reason == "OOMKilled":
            limit = next((c.resources.limits.get("memory", "") for c in _spec(bad) if c.name == bad.status.name), "")
            return Finding(
                id="G7",
                cause="out_of_memory",
                title="Killed for using too much memory",
                sentence=f"{bad.status.name} was killed{shown(scene, ended.finished_at)} for passing its memory limit"
                f"{f' of {limit}' if limit else ''}. Raise the limit in the values of its chart.",
                evidence=(_state(bad),),
                confidence=0.95,
                at=iso(ended.finished_at),
            )
    for pod in scene.pods:
        if pod.status.reason == "Evicted" and not any(p is not pod and p.spec.node_name for p in scene.pods):
            return Finding(
                id="G7",
                cause="evicted",
                title="Evicted by its node",
                sentence=f"{pod.metadata.name} was evicted: {phrase(pod.status.message)}. Look at that node.",
                evidence=(f"{pod.metadata.name}: {pod.status.reason}: {clean(pod.status.message)}",),
                confidence=0.9,
            )
    return None


def _image(bad: Bad) -> str:
    return next((c.image for c in _spec(bad) if c.name == bad.status.name), "its image")


def _spec(bad: Bad) -> list[Container]:
    return [*bad.pod.spec.init_containers, *bad.pod.spec.containers]


def slow_start(scene: Scene) -> Finding | None:
    """G8: the liveness probe ends a first start that takes longer than it allows."""
    for bad in _main(scene):
        events = [
            e
            for e in scene.events_of(bad.pod.metadata.name, "Unhealthy")
            if "liveness probe failed" in e.message.lower()
        ]
        if not events or not bad.status.restart_count:
            continue
        spec = next((c for c in _spec(bad) if c.name == bad.status.name), Container())
        probe = spec.liveness_probe
        if spec.startup_probe is not None or probe is None:
            continue
        allowed = f"{probe.initial_delay_seconds} s + {probe.failure_threshold} × {probe.period_seconds} s"
        line = next((line for line in reversed(bad.lines) if _is_migrating(line)), bad.lines[-1] if bad.lines else "")
        killed = scene.events_of(bad.pod.metadata.name, "Killing")
        return Finding(
            id="G8",
            cause="killed_while_starting",
            title=f"{scene.title} was killed while it was still starting",
            sentence=f"The first start takes longer than the liveness probe allows: {allowed}. "
            f"{count(bad.status.restart_count, 'restart')} so far. Give it a startup probe, or a later liveness probe.",
            evidence=(
                *(event_line(scene, event) for event in (*events[-1:], *killed[-1:])),
                *((log_line(bad.status.name, line),) if line else ()),
                _state(bad),
            ),
            confidence=0.9 if _is_migrating(line) else 0.6,
            remedies=(MORE_TIME, USE_PROMETHEUS) if scene.kind == "grafana" else (),
            at=iso(_ended(bad)),
        )
    return None


def chown(scene: Scene) -> Finding | None:
    """G4: init-chown-data on an export that squashes root."""
    for bad in scene.bad:
        line = bad.log_has(("operation not permitted", "read-only file system", "permission denied"))
        if bad.init and bad.status.name == "init-chown-data" and line:
            return Finding(
                id="G4",
                cause="chown_refused",
                title="The volume refuses a change of owner",
                sentence="init-chown-data may not change the owner on the volume, as an export with root_squash does. "
                "Set initChownData.enabled to false and give the export to uid 472.",
                evidence=(log_line(bad.status.name, line), _state(bad)),
                confidence=0.9,
                remedies=(NO_NFS,),
            )
    return None


def endless_init(scene: Scene) -> Finding | None:
    """G13: an init sidecar that watches instead of listing never ends."""
    for bad in scene.bad:
        running = bad.status.state.running
        started = running.started_at if running else None
        long = started is not None and (scene.now - started).total_seconds() > 120
        if bad.init and bad.status.name.startswith("grafana-init-sc") and long:
            return Finding(
                id="G13",
                cause="init_never_ends",
                title="An init container never ends",
                sentence=f"{bad.status.name} runs{from_then(scene, started)} and watches for "
                "changes instead of ending, so Grafana is never started. Set watchMethod: LIST for it.",
                evidence=(_state(bad), f"{bad.pod.metadata.name}: {_init_progress(bad)}"),
                confidence=0.9,
                remedies=(REPAIR,),
                at=iso(started),
            )
    return None


def _init_progress(bad: Bad) -> str:
    found = condition(bad.pod.status.conditions, "Initialized")
    return f"Initialized={found.status if found else 'unknown'}"


SIGNATURES = (
    Signature(CONTAINER, two_defaults),
    Signature(CONTAINER, locked_database),
    Signature(CONTAINER, not_writable),
    Signature(CONTAINER, missing_secret),
    Signature(CONTAINER, resources),
    Signature(CONTAINER, slow_start),
    Signature(INIT, chown),
    Signature(INIT, endless_init),
)
