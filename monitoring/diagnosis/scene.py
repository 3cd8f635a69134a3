"""What a diagnosis looks at, gathered once: a workload with its pods, Services, logs, events, and its Application.

What could not be read is an empty list and a line in ``unread``; a signature that sees nothing finds nothing, so a gap
never makes a cause. :mod:`monitoring.diagnosis.gathering` fills a scene.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from integrations.kubernetes.custom import Application
from integrations.kubernetes.objects import (
    Claim,
    ConfigMap,
    Container,
    ContainerStatus,
    Event,
    Node,
    Pod,
    Service,
    Terminated,
    Workload,
)
from monitoring.checks.services import addresses, front, ready_addresses
from monitoring.checks.text import clean
from monitoring.snapshot import Missing, Need, Reply, Snapshot

DATASOURCE_LABEL = "grafana_datasource"
DASHBOARD_LABEL = "grafana_dashboard"


@dataclass(frozen=True, slots=True)
class Bad:
    """A container that is not ready, or was not a few minutes ago, with its log: the previous run first, then this."""

    pod: Pod
    status: ContainerStatus
    init: bool
    lines: tuple[str, ...]
    #: the workload it belongs to; its pod's name when nobody knows
    owner: str = ""
    #: ready now, and restarted a few minutes ago
    recovered: bool = False

    @property
    def name(self) -> str:
        return self.status.name

    @property
    def waiting(self) -> str:
        """``CrashLoopBackOff``, ``ImagePullBackOff``, …; empty when it does not wait."""
        return self.status.state.waiting.reason if self.status.state.waiting else ""

    @property
    def message(self) -> str:
        """What the kubelet says of the waiting."""
        return self.status.state.waiting.message if self.status.state.waiting else ""

    @property
    def last(self) -> Terminated | None:
        """How its last run ended."""
        return self.status.state.terminated or self.status.last_state.terminated

    @property
    def crashes(self) -> bool:
        """It ended by itself, and not well."""
        ended = self.last
        return self.waiting == "CrashLoopBackOff" or (ended is not None and ended.exit_code != 0)

    @property
    def spec(self) -> Container:
        """Its part of the pod's spec; an empty one when that does not name it."""
        every = [*self.pod.spec.init_containers, *self.pod.spec.containers]
        return next((each for each in every if each.name == self.status.name), Container(name=self.status.name))

    @property
    def image(self) -> str:
        return self.status.image or self.spec.image or "its image"

    def log_has(self, words: Iterable[str]) -> str:
        """The last line that holds one of these, or nothing."""
        wanted = [word.lower() for word in words]
        return next((line for line in reversed(self.lines) if any(word in line.lower() for word in wanted)), "")

    def log_says(self, words: re.Pattern[str]) -> str:
        """The last line that holds the pattern, or nothing."""
        return next((line for line in reversed(self.lines) if words.search(line)), "")


@dataclass(slots=True)
class Scene:
    """See the module. ``kind`` is the subject's: ``grafana``, ``workload``, ``application``, ``claims``, …"""

    snapshot: Snapshot
    subject: Mapping[str, Any]
    now: datetime
    kind: str = ""
    namespace: str = ""
    selector: str = ""
    name: str = ""
    title: str = ""
    workloads: list[tuple[str, Workload]] = field(default_factory=list)
    pods: list[Pod] = field(default_factory=list)
    #: pods that ended for good: evicted, or lost with their node
    failed_pods: list[Pod] = field(default_factory=list)
    #: pods on their way out
    leaving: list[Pod] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)
    config_maps: list[ConfigMap] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    application: Application | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)
    workloads_read: bool = False

    # -- what was read

    def read(self, resource: str, namespace: str = "", labels: str = "") -> list[Any]:
        """The objects of a resource; none, and a line in ``unread``, when they were not read."""
        try:
            return self.snapshot.objects(resource, namespace, labels)
        except Missing as missing:
            self.gap(str(missing))
            return []

    def known(self, resource: str, namespace: str = "") -> bool:
        """Whether this list was read."""
        try:
            self.snapshot.objects(resource, namespace)
        except Missing:
            return False
        return True

    def reply(self, need: Need) -> Reply | None:
        """The answer to a need; None, and a line in ``unread`` when it was asked, when there is none."""
        found = self.snapshot.replies.get(need)
        if found is None:
            return None
        if found.status == 0 or found.status in {401, 403}:
            self.gap(found.error or f"{need.source.capitalize()} did not answer.")
            return None
        return found

    def gap(self, sentence: str) -> None:
        """Note what could not be looked at, once."""
        if sentence not in self.unread:
            self.unread.append(sentence)

    def nodes(self) -> dict[str, Node]:
        """Nodes by name."""
        return {node.metadata.name: node for node in self.read("nodes")}

    def claims(self) -> list[Claim]:
        """The claims that the pods here mount and that exist."""
        wanted = {name for pod in self.pods for name in claim_names(pod)}
        if not wanted:
            return []
        return [item for item in self.read("persistentvolumeclaims", self.namespace) if item.metadata.name in wanted]

    # -- what follows from it

    def asks(self, *checks: str) -> bool:
        """Whether the subject is about one of these checks; a subject that names none is about everything."""
        named = self.subject.get("asks")
        return not named or bool(set(checks) & set(named))

    @property
    def absent(self) -> bool:
        """The workload is not there, and that was seen."""
        return self.workloads_read and not self.workloads

    @property
    def short(self) -> bool:
        """Some workload has not the ready pods it wants, or is in the middle of a rollout."""
        return any(not settled(item) for _, item in self.workloads)

    @property
    def well(self) -> bool:
        """The workloads are there, with every pod ready."""
        return bool(self.workloads) and not self.short and not self.bad

    @property
    def containers(self) -> list[Container]:
        return [c for _, item in self.workloads for c in item.spec.template.spec.containers]

    @property
    def sidecars(self) -> list[Container]:
        return [c for c in self.containers if is_sidecar(c)]

    def main(self) -> list[Bad]:
        """Containers that do the work: without init containers and without Grafana's sidecars."""
        return [bad for bad in self.bad if not bad.init and not is_sidecar_name(bad.name, bad.image)]

    def called(self, bad: Bad) -> str:
        """What to call the workload of a container: its product's name, or its own where there are several."""
        return clean(bad.owner, 120) if len(self.workloads) > 1 and bad.owner else self.title or clean(bad.owner, 120)

    def front(self) -> str:
        """The address people use, when nothing ready is behind it; else nothing."""
        for service in self.services:
            try:
                if not ready_addresses(self.snapshot, service):
                    return front(service) if addresses(service) else service.metadata.name
            except Missing:
                continue
        return ""

    def events_of(self, name: str, *reasons: str) -> list[Event]:
        """Events about an object of this name, oldest first."""
        found = [e for e in self.events if e.involved_object.name == name and (not reasons or e.reason in reasons)]
        return sorted(found, key=lambda event: event_time(event) or self.now)

    def owner_of(self, pod: Pod) -> tuple[str, Workload] | None:
        """The workload a pod belongs to, of those in this scene."""
        for kind, item in self.workloads:
            labels = item.spec.selector.match_labels
            if labels and labels.items() <= pod.metadata.labels.items():
                return kind, item
        return None


def settled(item: Workload) -> bool:
    """Every pod that is wanted is ready and of the newest template, and no other is left."""
    status = item.status
    if status.observed_generation < item.metadata.generation:
        return False
    if status.desired_number_scheduled or status.number_ready:
        return status.number_ready >= status.desired_number_scheduled
    wanted = 1 if item.spec.replicas is None else item.spec.replicas
    if status.ready_replicas < wanted:
        return False
    return wanted == 0 or status.replicas in {0, wanted} or status.ready_replicas >= status.replicas


def event_time(event: Event) -> datetime | None:
    return event.last_timestamp or event.event_time or event.first_timestamp


def is_sidecar(container: Container) -> bool:
    return is_sidecar_name(container.name, container.image)


def is_sidecar_name(name: str, image: str = "") -> bool:
    """Whether it is one of Grafana's collecting sidecars."""
    return "k8s-sidecar" in image or name.startswith(("grafana-sc-", "grafana-init-sc-"))


def claim_names(pod: Pod) -> list[str]:
    """The claims a pod mounts."""
    return [v.persistent_volume_claim.claim_name for v in pod.spec.volumes if v.persistent_volume_claim]


def begun(pod: Pod) -> datetime | None:
    """When the pod was made, or accepted by its kubelet."""
    return pod.metadata.creation_timestamp or pod.status.start_time
