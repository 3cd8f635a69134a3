"""Writes to one cluster. Importable by ``deployments.engine`` alone (import-linter holds it to that).

Every request is sent once: a write whose answer did not arrive raises ``Unreachable`` with ``maybe_done``, and the
caller looks before it acts again. Every real write carries a precondition (uid or resourceVersion) and a field manager;
a write without one is a programming error (``ValueError``). Knows nothing of plans or runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import quote

import msgspec

from integrations.kubernetes.connection import CONNECT_SECONDS, Connection
from integrations.kubernetes.kinds import RESOURCES
from integrations.kubernetes.reader import Reader

PatchType = Literal["merge", "strategic", "json", "apply"]
Propagation = Literal["Background", "Foreground", "Orphan"]

#: admission webhooks may take 30 s
_TIMEOUT = (CONNECT_SECONDS, 35.0)
_CONTENT_TYPES: dict[PatchType, str] = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}
_PRECONDITIONS = {"/metadata/uid", "/metadata/resourceVersion"}


class Writer:
    """The operating identity's hand on one cluster. All methods return the object the server answers.

    :raises Conflict: 409; ``causes`` name the fields and managers of an apply conflict, ``reason`` is ``AlreadyExists``
        for a create of what is there. :raises Rejected: 422 and other 4xx, with causes. :raises NotFound: gone.
    :raises Unreachable: no answer; ``maybe_done`` says whether it may have happened.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        #: reads with the writing identity, for the comparison just before an effect
        self.reader = Reader(connection)

    @property
    def address(self) -> str:
        return self._connection.address

    def close(self) -> None:
        self._connection.close()

    def patch(
        self,
        resource_key: str,
        namespace: str,
        name: str,
        body: Any,
        *,
        patch_type: PatchType,
        field_manager: str,
        dry_run: bool = False,
        force: bool = False,
        subresource: str = "",
    ) -> dict[str, Any]:
        """Patch one object. ``force`` takes over fields of other managers and is for ``apply`` only."""
        if not dry_run and patch_type != "apply" and not _has_precondition(body):
            raise ValueError("a patch must carry metadata.uid or metadata.resourceVersion, or a JSON patch test of one")
        query = _query(field_manager, dry_run)
        if force:
            query["force"] = "true"
        path = self._path(resource_key, namespace, name, subresource)
        return self._send("PATCH", path, query, body, _CONTENT_TYPES[patch_type])

    def create(
        self,
        resource_key: str,
        namespace: str,
        body: Mapping[str, Any],
        *,
        field_manager: str,
        dry_run: bool = False,
        name: str = "",
        subresource: str = "",
    ) -> dict[str, Any]:
        """Create an object, or with ``name`` and ``subresource`` post to a subresource (an eviction, a token)."""
        path = self._path(resource_key, namespace, name, subresource)
        return self._send("POST", path, _query(field_manager, dry_run), body, "application/json")

    def replace(
        self,
        resource_key: str,
        namespace: str,
        name: str,
        body: Mapping[str, Any],
        *,
        field_manager: str,
        dry_run: bool = False,
        subresource: str = "",
    ) -> dict[str, Any]:
        """Replace an object; the body carries the resourceVersion it was read with."""
        if not dry_run and not _has_precondition(body):
            raise ValueError("a replacement must carry metadata.resourceVersion")
        path = self._path(resource_key, namespace, name, subresource)
        return self._send("PUT", path, _query(field_manager, dry_run), body, "application/json")

    def delete(
        self,
        resource_key: str,
        namespace: str,
        name: str,
        *,
        uid: str,
        resource_version: str | None = None,
        propagation: Propagation = "Background",
        grace_seconds: int | None = None,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Delete exactly this object: another of the same name has another uid and stays (:raises Conflict:).

        ``grace_seconds`` None leaves the object its own; 0 forces.
        """
        if not uid:
            raise ValueError("a delete needs the uid of the object it means")
        preconditions = {"uid": uid, **({"resourceVersion": resource_version} if resource_version else {})}
        options: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": preconditions,
            "propagationPolicy": propagation,
        }
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if dry_run:
            options["dryRun"] = ["All"]
        return self._send("DELETE", self._path(resource_key, namespace, name), {}, options, "application/json")

    def evict(
        self, namespace: str, name: str, *, uid: str, field_manager: str, dry_run: bool = False
    ) -> dict[str, Any]:
        """Ask for this pod's eviction. :raises Throttled: a disruption budget says not now (429)."""
        if not uid:
            raise ValueError("an eviction needs the uid of the pod it means")
        options: dict[str, Any] = {"preconditions": {"uid": uid}}
        if dry_run:
            # the query parameter of an eviction is not read by every server; its options are
            options["dryRun"] = ["All"]
        body = {
            "apiVersion": self.reader.eviction_version(),
            "kind": "Eviction",
            "metadata": {"name": name, "namespace": namespace},
            "deleteOptions": options,
        }
        return self.create(
            "pods", namespace, body, field_manager=field_manager, dry_run=dry_run, name=name, subresource="eviction"
        )

    def _path(self, resource_key: str, namespace: str, name: str, subresource: str = "") -> str:
        resource = RESOURCES[resource_key]
        version = self.reader.api_version(resource_key)
        return resource.path(quote(namespace), quote(name), version, subresource)

    def _send(self, method: str, path: str, query: Mapping[str, str], body: Any, content_type: str) -> dict[str, Any]:
        reply = self._connection.call(method, path, query, body=body, content_type=content_type, timeout=_TIMEOUT)
        return msgspec.json.decode(reply, type=dict[str, Any])


def _query(field_manager: str, dry_run: bool) -> dict[str, str]:
    if not field_manager:
        raise ValueError("a write needs a field manager")
    return {"fieldManager": field_manager, **({"dryRun": "All"} if dry_run else {})}


def _has_precondition(body: Any) -> bool:
    if isinstance(body, Mapping):
        metadata = body.get("metadata")
        return isinstance(metadata, Mapping) and bool(metadata.get("uid") or metadata.get("resourceVersion"))
    if isinstance(body, list):
        return any(
            isinstance(operation, Mapping) and operation.get("op") == "test" and operation.get("path") in _PRECONDITIONS
            for operation in body
        )
    return False


def connect(kubeconfig: str, context: str = "") -> Writer:
    """A writer for a kubeconfig (empty: the cluster we run in). :raises Rejected: as for the reader's ``connect``."""
    return Writer(Connection(kubeconfig, context, rate=10, burst=20))
