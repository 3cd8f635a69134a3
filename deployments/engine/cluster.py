"""What the engine can do with one cluster: collect a Snapshot, read one object, write one object, ask for its rights.

The only module of the product that opens the writing identity. Everything above it works on this small surface, which
the engine's tests replace. Fails with :class:`integrations.errors.SourceError` only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

from django.conf import settings

from integrations.kubernetes import writer as kubernetes
from monitoring import collect
from monitoring.snapshot import Need, Snapshot

Needs = Callable[[Snapshot], Iterable[Need]]


@dataclass(frozen=True, slots=True)
class Write:
    """One patch, ready to be sent: the body carries the resourceVersion it was decided on."""

    resource: str
    namespace: str
    name: str
    patch_type: Literal["merge", "strategic"]
    body: dict[str, Any]
    field_manager: str


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

    def patch(self, write: Write, *, dry_run: bool) -> dict[str, Any]:
        """Send one write, once. :raises SourceError: ``maybe_done`` says whether it may have been made."""

    def may(self, verb: str, group: str, resource: str, namespace: str, name: str) -> tuple[bool, str]:
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
    def _identity(self) -> str:
        return self._writer.reader.identity()

    def identity(self) -> str:
        return self._identity

    def collect(self, needs: Needs) -> Snapshot:
        return collect.once(self._readers, needs)

    def get(self, resource: str, namespace: str, name: str) -> dict[str, Any] | None:
        return self._writer.reader.get_raw(resource, namespace, name)

    def patch(self, write: Write, *, dry_run: bool) -> dict[str, Any]:
        return self._writer.patch(
            write.resource,
            write.namespace,
            write.name,
            write.body,
            patch_type=write.patch_type,
            field_manager=write.field_manager,
            dry_run=dry_run,
        )

    def may(self, verb: str, group: str, resource: str, namespace: str, name: str) -> tuple[bool, str]:
        return self._writer.reader.self_access_review(verb, group, resource, namespace, name)


_opened: dict[int, RealCluster] = {}


def open_cluster() -> Cluster:
    """This process's cluster. Keyed by process id: a forked child must not share its parent's sockets."""
    return _opened.setdefault(os.getpid(), RealCluster())
