"""What the engine can do with one cluster: collect a Snapshot, read one object, make one effect, ask for its rights.

The only module of the product that opens the writing identity. Everything above it works on this small surface, which
the engine's tests replace. Fails with :class:`integrations.errors.SourceError` only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Protocol

from django.conf import settings

from deployments.catalogue.action import Apply, Call, Create, Delete, Effect, Evict, Patch
from deployments.engine import preparing
from deployments.engine.filling import MANAGER
from integrations.alertmanager.writer import AlertmanagerWriter
from integrations.errors import Conflict
from integrations.github.writer import GitHubWriter
from integrations.grafana.writer import GrafanaWriter
from integrations.kubernetes import writer as kubernetes
from monitoring import collect
from monitoring.snapshot import Need, Snapshot

Needs = Callable[[Snapshot], Iterable[Need]]


@dataclass(frozen=True, slots=True)
class Write:
    """One effect on one object, ready to be sent: placeholders filled in, and what it was decided on.

    ``uid`` and ``resource_version`` are those of the reading before it; both empty for what is not there.
    """

    resource: str
    namespace: str
    name: str
    effect: Effect
    field_manager: str
    uid: str = ""
    resource_version: str = ""

    @property
    def body(self) -> dict[str, Any]:
        """The body of an effect that has one."""
        body = getattr(self.effect, "body", None)
        return body if isinstance(body, dict) else {}


class Cluster(Protocol):
    """One cluster as the engine sees it."""

    @property
    def name(self) -> str:
        """The name this portal gives the cluster."""

    @property
    def one_identity(self) -> bool:
        """No writing identity is configured: the reading one does both, and the UI says so."""

    def identity(self) -> str:
        """Who the API server says the writing identity is."""

    def collect(self, needs: Needs) -> Snapshot:
        """Read everything needed, with the reading identity. What did not answer is in the Snapshot as an error."""

    def get(self, resource: str, namespace: str, name: str) -> dict[str, Any] | None:
        """One object as it is now, with the writing identity; None when it is not there. :raises SourceError:"""

    def send(self, write: Write, *, dry_run: bool) -> dict[str, Any]:
        """Make one effect, once: the object the server answers (a Status for deletions).

        :raises SourceError: ``maybe_done`` says whether it may have been made.
        """

    def call(self, effect: Call) -> None:
        """Send one request to a service, once. :raises SourceError: as for :meth:`send`; Rejected for status ≥ 400."""

    def proxied(self, service: str) -> tuple[str, str] | None:
        """Namespace and ``name:port`` of the Service that calls go through by the API server; None: they go to a URL.

        :raises SourceError: there is no such Service.
        """

    def may(
        self, verb: str, group: str, resource: str, namespace: str, name: str, subresource: str = ""
    ) -> tuple[bool, str]:
        """May the writing identity do this? With the authorizer's reason. :raises SourceError:"""


class RealCluster:
    """The configured cluster, through the official client. One per process."""

    def __init__(self) -> None:
        self.name = settings.PORTAL_CLUSTER
        self.one_identity = not settings.PORTAL_WRITE_KUBECONFIG

    @cached_property
    def _readers(self) -> collect.Readers:
        return collect.open_readers(settings)

    @cached_property
    def _writer(self) -> kubernetes.Writer:
        if settings.PORTAL_WRITE_KUBECONFIG:
            return kubernetes.connect(settings.PORTAL_WRITE_KUBECONFIG)
        return kubernetes.connect(settings.PORTAL_KUBECONFIG, settings.PORTAL_KUBE_CONTEXT)

    @cached_property
    def _services(self) -> dict[str, AlertmanagerWriter | GrafanaWriter | GitHubWriter]:
        reader = self._writer.reader
        return {
            "alertmanager": AlertmanagerWriter(reader, settings.PORTAL_ALERTMANAGER_URL),
            "grafana": GrafanaWriter(reader, settings.PORTAL_GRAFANA_URL, settings.PORTAL_GRAFANA_TOKEN_FILE),
            "github": GitHubWriter(
                settings.PORTAL_GITHUB_URL, settings.PORTAL_GITHUB_TOKEN_FILE, settings.PORTAL_GITHUB_HOST
            ),
        }

    @cached_property
    def _identity(self) -> str:
        return self._writer.reader.identity()

    def identity(self) -> str:
        return self._identity

    def collect(self, needs: Needs) -> Snapshot:
        return collect.once(self._readers, needs, collect.PLAN_ROUNDS)

    def get(self, resource: str, namespace: str, name: str) -> dict[str, Any] | None:
        return self._writer.reader.get_raw(resource, namespace, name)

    def send(self, write: Write, *, dry_run: bool) -> dict[str, Any]:
        return sent(self._writer, write, dry_run=dry_run)

    def call(self, effect: Call) -> None:
        body = effect.body
        if effect.prepared is not None:
            body = preparing.completed(effect, self._readers.github)
        self._services[effect.service].send(effect.method, effect.path, body)

    def proxied(self, service: str) -> tuple[str, str] | None:
        writer = self._services[service]
        target = writer.proxied() if isinstance(writer, AlertmanagerWriter) else None
        return (target.namespace, f"{target.service}:{target.port}") if target is not None else None

    def may(
        self, verb: str, group: str, resource: str, namespace: str, name: str, subresource: str = ""
    ) -> tuple[bool, str]:
        return self._writer.reader.self_access_review(verb, group, resource, namespace, name, subresource)


def sent(writer: kubernetes.Writer, write: Write, *, dry_run: bool) -> dict[str, Any]:
    """One effect through a writer, with the preconditions of the reading it was decided on."""
    where = (write.resource, write.namespace, write.name)
    match write.effect:
        case Patch(patch_type, body):
            return writer.patch(
                *where,
                preconditioned(body, write.resource_version),
                patch_type=patch_type,
                field_manager=write.field_manager,
                dry_run=dry_run,
            )
        case Apply(body, _):
            return _applied(writer, write, body, dry_run=dry_run)
        case Create(body):
            return writer.create(*where[:2], body, field_manager=write.field_manager, dry_run=dry_run)
        case Delete(propagation, grace_seconds):
            return writer.delete(
                *where,
                uid=write.uid,
                resource_version=write.resource_version,
                propagation=propagation,
                grace_seconds=grace_seconds,
                dry_run=dry_run,
            )
        case Evict():
            return writer.evict(*where[1:], uid=write.uid, field_manager=write.field_manager, dry_run=dry_run)
        case _:
            raise ValueError(f"{type(write.effect).__name__} is no effect on an object")


def _applied(writer: kubernetes.Writer, write: Write, body: dict[str, Any], *, dry_run: bool) -> dict[str, Any]:
    """A server-side apply that takes no field over from anybody but this portal itself.

    Each of the portal's writes leaves its mark under its own manager, and an undo writes the fields it sets back: a set
    could not be applied again once another action had touched one of its objects. A refusal that names none but the
    portal's own managers is answered by force, which then takes over those fields alone: the resourceVersion holds
    everything else still, and the plan has shown what changes.
    """
    apply = partial(
        writer.patch,
        write.resource,
        write.namespace,
        write.name,
        preconditioned(body, write.resource_version),
        patch_type="apply",
        field_manager=write.field_manager,
        dry_run=dry_run,
    )
    try:
        return apply()
    except Conflict as error:
        if not _all_ours(error) or not (dry_run or write.resource_version):
            raise
    return apply(force=True)


def _all_ours(error: Conflict) -> bool:
    """Whether every manager in the way is one of this portal's."""
    return bool(error.causes) and all(
        cause.get("reason") == "FieldManagerConflict"
        and str(cause.get("message", "")).startswith(f'conflict with "{MANAGER}')
        for cause in error.causes
    )


def preconditioned(body: dict[str, Any], resource_version: str) -> dict[str, Any]:
    """A body that the server accepts only while the object has this resourceVersion."""
    if not resource_version:
        return body
    return {**body, "metadata": {**body.get("metadata", {}), "resourceVersion": resource_version}}


_opened: dict[int, RealCluster] = {}


def open_cluster() -> Cluster:
    """This process's cluster. Keyed by process id: a forked child must not share its parent's sockets."""
    return _opened.setdefault(os.getpid(), RealCluster())
