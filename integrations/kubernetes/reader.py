"""Reads one cluster: lists in pages, watches as raw lines, single objects, logs, reviews, the service proxy.

Never writes an object; ``proxy_send`` hands a request on for the writers of the services. Objects come as the msgspec
structs of :mod:`integrations.kubernetes.objects`; typed client models are never built (they cost a hundred times as
much). Every failure is a :class:`integrations.errors.SourceError`.
"""

from __future__ import annotations

import base64
import binascii
import random
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from common.redaction import redact
from integrations.errors import Forbidden, Gone, NotFound, Rejected, SourceError, Unreachable
from integrations.kubernetes import decode
from integrations.kubernetes.connection import CONNECT_SECONDS, Connection, error_of, status_of, unreachable
from integrations.kubernetes.decode import WatchEvent
from integrations.kubernetes.kinds import RESOURCES, Resource

__all__ = ["Proxied", "Reader", "Stream", "WatchEvent", "connect"]

PAGE = 500
#: the server ends a watch after about this long, so that lost rights are noticed
WATCH_SECONDS = 280
#: an API server sends a watch's headers at once
OPEN_SECONDS = 8.0
#: the socket gives up after this long without a byte: a half-open connection says nothing for ever
SILENCE_SECONDS = 30.0
#: an event longer than this is not an object of ours (etcd's own limit is 1.5 MB)
MAX_LINE = 8 * 1024 * 1024
LOG_BYTES = 256 * 1024

Lines = list[str]
Objects = list[Any]
Events = list[WatchEvent]

PROXY_BYTES = 8 * 1024 * 1024


_EVICTION = "pods/eviction"


class Proxied(NamedTuple):
    """An answer through the API server's service proxy."""

    status: int
    body: bytes
    #: one sentence when the API server itself answered instead of the service
    error: str = ""


class Stream:
    """One open watch: iterate it for events; :meth:`stop` ends it from another thread.

    Ends by itself when the server closes it. :raises Gone: while iterating, list again.
    :raises Unreachable: no byte for :data:`SILENCE_SECONDS`, or the connection broke.
    """

    def __init__(self, response: Any, resource_key: str, address: str) -> None:
        self._response, self._resource_key, self._address = response, resource_key, address
        self._stopped = threading.Event()
        #: whether any byte arrived
        self.spoke = False

    def __iter__(self) -> Iterator[WatchEvent]:
        for batch in self.batches():
            yield from batch

    def batches(self) -> Iterator[Events]:
        """The events of each piece that arrives; an empty batch is a sign of life too."""
        for lines in self._pieces():
            self.spoke = True
            events: Events = []
            try:
                for line in filter(None, lines):
                    events.append(decode.event(line, self._resource_key))
            except SourceError:
                if events:
                    yield events
                raise
            yield events

    def _pieces(self) -> Iterator[list[bytes]]:
        """The complete lines of each piece. An unfinished last line is dropped: the stream broke there."""
        import urllib3

        rest: list[bytes] = []
        size = 0
        try:
            for chunk in self._response.stream(65536, decode_content=True):
                if not rest and len(chunk) > 1 and chunk.find(b"\n") == len(chunk) - 1:
                    yield [chunk]  # one event, as servers send them: nothing to take apart
                    continue
                *lines, tail = chunk.split(b"\n")
                if lines and rest:
                    lines[0] = b"".join((*rest, lines[0]))
                    rest, size = [], 0
                yield lines
                if tail:
                    rest.append(tail)
                    size += len(tail)
                    if size > MAX_LINE:
                        raise Rejected(f"An event of {self._resource_key} is longer than {MAX_LINE} bytes.")
        except (urllib3.exceptions.HTTPError, OSError, AttributeError, ValueError) as error:
            # Attribute and ValueError: what urllib3 raises when stop() shut the socket under it
            if not self._stopped.is_set():
                raise unreachable(error, self._address) from error
        finally:
            self._response.close()

    def stop(self) -> None:
        """End the watch from another thread; the iteration ends."""
        self._stopped.set()
        try:
            self._response.shutdown()
        except (ValueError, RuntimeError, OSError):
            pass  # it ended by itself in this moment


class Reader:
    """The reading identity's view of one cluster. Safe to share between threads."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._versions: dict[str, str] = {}
        #: objects that could not be decoded, by resource key
        self.quarantined: Counter[str] = Counter()
        self.silence_seconds = SILENCE_SECONDS

    @property
    def address(self) -> str:
        return self._connection.address

    @property
    def server(self) -> str:
        """Which server this is; it changes when the kubeconfig was written anew for another."""
        return self._connection.server

    def close(self) -> None:
        self._connection.close()

    # -- objects

    def api_version(self, resource_key: str) -> str:
        """The version of a resource this server serves, newest first. :raises NotFound: it serves none of them."""
        resource = RESOURCES[resource_key]
        if resource_key not in self._versions:
            self._versions[resource_key] = self._served(resource)
        return self._versions[resource_key]

    def _served(self, resource: Resource) -> str:
        if len(resource.versions) == 1:
            return resource.versions[0]
        for version in resource.versions:
            try:
                body = self._connection.call("GET", f"/apis/{resource.group}/{version}")
            except NotFound:
                continue
            served = msgspec.json.decode(body, type=dict[str, Any]).get("resources") or []
            if any(entry.get("name") == resource.plural for entry in served):
                return version
        raise NotFound(f"This cluster does not serve {resource.key}.", status=404)

    def eviction_version(self) -> str:
        """The API version this server wants an Eviction in (``policy/v1`` since 1.22), as ``kubectl drain`` asks.

        :raises NotFound: it knows no evictions.
        """
        if _EVICTION not in self._versions:
            body = self._connection.call("GET", "/api/v1")
            served = msgspec.json.decode(body, type=dict[str, Any]).get("resources") or []
            found = next((entry for entry in served if entry.get("name") == _EVICTION), None)
            if found is None:
                raise NotFound("This cluster knows no evictions.", status=404)
            self._versions[_EVICTION] = f"{found.get('group') or 'policy'}/{found.get('version') or 'v1'}"
        return self._versions[_EVICTION]

    def _path(self, resource_key: str, namespace: str = "", name: str = "", subresource: str = "") -> str:
        resource = RESOURCES[resource_key]
        return resource.path(quote(namespace), quote(name), self.api_version(resource_key), subresource)

    def list(self, resource_key: str, namespace: str = "", labels: str = "") -> tuple[list[Any], str]:
        """All objects in pages of 500, and the list's resourceVersion, from which a watch can start.

        :raises NotFound: the server does not serve this resource (its CRD is missing). :raises SourceError: as it says.
        """
        try:
            return self._pages(resource_key, namespace, labels)
        except Gone:  # the continue token expired between two pages
            return self._pages(resource_key, namespace, labels)

    def _pages(self, resource_key: str, namespace: str, labels: str) -> tuple[Objects, str]:
        query: dict[str, Any] = {"limit": PAGE, **({"labelSelector": labels} if labels else {})}
        items: list[Any] = []
        path = self._path(resource_key, namespace)
        bad: list[str] = []
        while True:
            try:
                page = decode.page(self._connection.call("GET", path, query), resource_key)
            except NotFound as error:
                self._versions.pop(resource_key, None)
                raise NotFound(f"This cluster does not serve {resource_key}: {error}", status=404) from error
            items += page.items
            bad += page.quarantined
            if not page.token:
                self.quarantined[resource_key] = len(bad)
                return items, page.resource_version
            query["continue"] = page.token

    def probe(self, resource_key: str, namespace: str = "", labels: str = "", *, seconds: float = 3.0) -> None:
        """Does the server still answer for this resource? A list of one. :raises SourceError: it does not."""
        query: dict[str, Any] = {"limit": 1, **({"labelSelector": labels} if labels else {})}
        path = self._path(resource_key, namespace)
        status, body, headers = self._connection.request("GET", path, query, timeout=(seconds, seconds))
        if status >= 400:
            raise error_of(status, body, headers)

    def watch(self, resource_key: str, resource_version: str, namespace: str = "", labels: str = "") -> Stream:
        """Events after ``resource_version``. :raises Gone: it is too old, list again. :raises SourceError: refused."""
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            # spread, so that all watches do not end in the same second
            "timeoutSeconds": random.randint(WATCH_SECONDS - 40, WATCH_SECONDS),  # noqa: S311
            **({"labelSelector": labels} if labels else {}),
        }
        path = self._path(resource_key, namespace)
        response = self._connection.open("GET", path, query, timeout=(CONNECT_SECONDS, OPEN_SECONDS))
        if response.status >= 400:
            body = response.read(65536)
            response.release_conn()
            raise error_of(response.status, body, response.headers)
        if response.connection is not None and response.connection.sock is not None:
            response.connection.sock.settimeout(self.silence_seconds)
        return Stream(response, resource_key, self.address)

    def get_raw(self, resource_key: str, namespace: str, name: str) -> dict[str, Any] | None:
        """One object as the server has it, or None when it is not there."""
        try:
            body = self._connection.call("GET", self._path(resource_key, namespace, name))
        except NotFound as error:
            if error.sentence.startswith("404 page not found"):
                raise  # the resource itself is not served, which is not the same as an object that is not there
            return None
        return msgspec.json.decode(body, type=dict[str, Any])

    def get(self, resource_key: str, namespace: str, name: str) -> Any | None:
        """One object as its struct, or None. :raises Rejected: it does not decode."""
        raw = self.get_raw(resource_key, namespace, name)
        if raw is None:
            return None
        found = decode.lenient(msgspec.json.encode(raw), resource_key)
        if found is None:
            raise Rejected(f"{resource_key} {namespace}/{name} cannot be read: a field has the wrong type.")
        return found

    # -- everything else

    def logs(self, namespace: str, pod: str, container: str, *, previous: bool = False, tail: int = 200) -> Lines:
        """The last lines of a container's log, redacted and bounded (256 KiB). :raises SourceError: no such log."""
        query = {
            "container": container,
            "tailLines": tail,
            "limitBytes": LOG_BYTES,
            **({"previous": "true"} if previous else {}),
        }
        body = self._connection.call("GET", self._path("pods", namespace, pod, "log"), query)
        return [redact(line) for line in body.decode("utf-8", "replace").splitlines()]

    def version(self) -> dict[str, Any]:
        """``GET /version``."""
        return msgspec.json.decode(self._connection.call("GET", "/version"), type=dict[str, Any])

    def access_review(
        self, user: str, verb: str, resource: str, group: str = "", namespace: str = "", name: str = ""
    ) -> tuple[bool, str]:
        """May ``user`` do this? (SubjectAccessReview.) For a ServiceAccount its groups are given too."""
        groups = ["system:authenticated"]
        if user.startswith("system:serviceaccount:"):
            groups += ["system:serviceaccounts", f"system:serviceaccounts:{user.split(':')[2]}"]
        spec = {"user": user, "groups": groups, **_attributes(verb, group, resource, namespace, name, "")}
        return self._review("subjectaccessreviews", "SubjectAccessReview", spec)

    def self_access_review(
        self, verb: str, group: str, resource: str, namespace: str = "", name: str = "", subresource: str = ""
    ) -> tuple[bool, str]:
        """May this identity do this? Returns (allowed, the authorizer's reason)."""
        spec = _attributes(verb, group, resource, namespace, name, subresource)
        return self._review("selfsubjectaccessreviews", "SelfSubjectAccessReview", spec)

    def _review(self, plural: str, kind: str, spec: Mapping[str, Any]) -> tuple[bool, str]:
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
        reply = self._connection.call("POST", f"/apis/authorization.k8s.io/v1/{plural}", body=body)
        status = msgspec.json.decode(reply, type=dict[str, Any]).get("status") or {}
        return bool(status.get("allowed")), redact(str(status.get("reason") or ""), 256)

    def identity(self) -> str:
        """Who the server says we are; for servers before 1.28, what the token or kubeconfig says, marked as such."""
        for version in ("v1", "v1beta1", "v1alpha1"):
            body = {"apiVersion": f"authentication.k8s.io/{version}", "kind": "SelfSubjectReview"}
            try:
                path = f"/apis/authentication.k8s.io/{version}/selfsubjectreviews"
                reply = self._connection.call("POST", path, body=body)
            except (NotFound, Forbidden, Rejected):
                continue
            info = (msgspec.json.decode(reply, type=dict[str, Any]).get("status") or {}).get("userInfo") or {}
            return redact(str(info.get("username") or "unknown"), 200)
        subject = _subject(self._connection.bearer())
        if subject:
            return redact(subject, 200)
        user = self._connection.kubeconfig_user
        return redact(f"{user} (by the kubeconfig)", 200) if user else "unknown"

    def proxy_get(self, namespace: str, service: str, port: str | int, path: str, timeout: float = 5.0) -> Proxied:
        """GET a Service through the API server. ``path`` starts with ``/`` and may hold a query.

        An answer of the service, whatever its status, is returned, and so is the API server's "no endpoints" (503) and
        "no such service" (404), with ``error`` set. :raises Forbidden: we may not use the proxy.
        :raises Unreachable: nothing answered within ``timeout`` seconds.
        """
        target = quote(f"{service}:{port}", safe=":")
        base = f"/api/v1/namespaces/{quote(namespace)}/services/{target}/proxy"
        status, body, headers = self._connection.request(
            "GET", base + path, accept="*/*", timeout=(CONNECT_SECONDS, timeout), limit=PROXY_BYTES
        )
        if status < 400:
            return Proxied(status, body)
        parsed = status_of(body)
        if parsed.kind != "Status":
            return Proxied(status, body)
        if status in (401, 403, 429):
            raise error_of(status, body, headers)
        if status in (404, 503):
            return Proxied(status, body, redact(parsed.message, 256))
        raise Unreachable(f"The API server could not reach {namespace}/{service}: {parsed.message}", status=status)

    def proxy_send(
        self, namespace: str, service: str, port: str | int, method: str, path: str, body: Any, timeout: float = 15.0
    ) -> Proxied:
        """Hand one request on to a Service through the API server, once. For ``integrations.*.writer`` alone.

        Any answer of the service is returned. :raises Forbidden: we may not use the proxy. :raises NotFound: there is
        no such Service. :raises Unreachable: nothing answered; ``maybe_done`` unless it is sure that nothing was sent.
        """
        target = quote(f"{service}:{port}", safe=":")
        base = f"/api/v1/namespaces/{quote(namespace)}/services/{target}/proxy"
        status, answer, headers = self._connection.request(
            method, base + path, body=body, accept="*/*", timeout=(CONNECT_SECONDS, timeout), limit=PROXY_BYTES
        )
        parsed = status_of(answer) if status >= 400 else None
        if parsed is None or parsed.kind != "Status":
            return Proxied(status, answer)
        if status == 503 and parsed.message.startswith("no endpoints available"):
            # said before anything is handed on
            raise Unreachable(f"{namespace}/{service}: {parsed.message}", status=status)
        raise error_of(status, answer, headers, write=True)


def _attributes(verb: str, group: str, resource: str, namespace: str, name: str, subresource: str) -> dict[str, Any]:
    attributes = {
        "verb": verb,
        "group": group,
        "resource": resource,
        "namespace": namespace,
        "name": name,
        "subresource": subresource,
    }
    return {"resourceAttributes": {key: value for key, value in attributes.items() if value}}


def _subject(token: str) -> str:
    """The subject a JWT names. Not verified: it is our own token, read only to say who we are."""
    parts = token.split(".")
    if len(parts) != 3:
        return ""
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (msgspec.MsgspecError, binascii.Error, ValueError):
        return ""
    return str(claims.get("sub", "")) if isinstance(claims, dict) else ""


def connect(kubeconfig: str, context: str = "") -> Reader:
    """A reader for a kubeconfig, or for the cluster we run in when it is empty. Opens no connection yet.

    ``KUBECONFIG`` and ``~/.kube/config`` are never looked at: a portal must not attach to a cluster by accident.
    :raises Rejected: the kubeconfig is missing or unusable, or there is none and we are not in a cluster.
    """
    return Reader(Connection(kubeconfig, context))
