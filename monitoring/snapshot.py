"""The Snapshot: everything that was read of one cluster at one time, as plain data.

Checks, diagnosis and plans are functions of it. It has two makers over one code path (``monitoring.collect.once`` and
the observer); tests make it from recorded cases with :func:`from_case`. It knows nothing of how it was read.

A *need* names one thing to read. What was not read, or whose source did not answer, raises :class:`Missing` when a
check asks for it, so that no check can mistake "not read" for "not there".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from integrations.kubernetes import objects as kube
from integrations.kubernetes.kinds import RESOURCES
from integrations.kubernetes.parts import KubeObject


@dataclass(frozen=True, slots=True)
class Objects:
    """All objects of a resource (key as in ``RESOURCES``), in one namespace or in all, filtered by labels."""

    resource: str
    namespace: str = ""
    labels: str = ""

    @property
    def source(self) -> str:
        return RESOURCES[self.resource].source


@dataclass(frozen=True, slots=True)
class Query:
    """An instant PromQL query. Reply body: the ``data.result`` list (``[{"metric": {...}, "value": [t, "1"]}]``)."""

    expr: str
    source = "prometheus"


@dataclass(frozen=True, slots=True)
class Fetch:
    """GET of a JSON path of ``prometheus``, ``alertmanager``, ``grafana`` or ``github``. Reply body: decoded JSON."""

    source: str
    path: str


@dataclass(frozen=True, slots=True)
class GitHubConnection:
    """Whether there is a GitHub to ask; asks nobody. Reply body: ``{"host": "github.com", "installation": bool, "web": "https://github.com"}``."""

    source = "github"


@dataclass(frozen=True, slots=True)
class Link:
    """GET of a Service through the API server's proxy, as a person's browser would. Reply body: ``{"bytes": n}``."""

    namespace: str
    service: str
    port: str
    path: str = "/"
    source = "kubernetes"


@dataclass(frozen=True, slots=True)
class Logs:
    """The last lines of a container's log. Reply body: list of text lines, redacted and bounded."""

    namespace: str
    pod: str
    container: str
    previous: bool = False
    tail: int = 200
    source = "kubernetes"


@dataclass(frozen=True, slots=True)
class ServerVersion:
    """``GET /version``. Reply body: ``{"gitVersion": "v1.30.10", …}``."""

    source = "kubernetes"


@dataclass(frozen=True, slots=True)
class Access:
    """May a subject do this? (SubjectAccessReview.) Reply body: ``{"allowed": bool, "reason": str}``."""

    user: str
    verb: str
    resource: str
    group: str = ""
    namespace: str = ""
    source = "kubernetes"


@dataclass(frozen=True, slots=True)
class Raw:
    """One object with all its fields, for plans that need more than the structs hold; the observer never reads it.

    Reply body: the object, or None with ``status`` 404 when it is not there.
    """

    resource: str
    namespace: str
    name: str

    @property
    def source(self) -> str:
        return RESOURCES[self.resource].source


#: how the error of a list begins whose API the cluster does not have
NOT_SERVED = "This cluster does not serve"

Need = Objects | Query | Fetch | GitHubConnection | Link | Logs | ServerVersion | Access | Raw


@dataclass(frozen=True, slots=True)
class Listing:
    """The objects of one :class:`Objects` need."""

    items: Collection[KubeObject] = ()
    resource_version: str = ""
    #: when the source last proved that this list is current
    confirmed_at: datetime | None = None
    #: set when the list could not be read or its watch is dead: one sentence for people
    error: str = ""
    #: the same objects by namespace and name, when the maker keeps them so: asking for one does not read them all
    namespaces: Mapping[str, Mapping[str, KubeObject]] | None = None

    def within(self, namespace: str) -> Iterable[KubeObject]:
        """The objects of a namespace; all of them for the empty one."""
        if self.namespaces is not None and namespace:
            return self.namespaces.get(namespace, {}).values()
        return self.items


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to any other need. ``status`` is the HTTP status, 0 when nothing answered."""

    body: Any = None
    status: int = 200
    at: datetime | None = None
    error: str = ""
    #: SHA-256 of the raw body, for the receipt
    digest: str = ""


class Missing(Exception):  # noqa: N818 - an answer that checks expect, not an error
    """A need was not read, or its source did not answer: the check must say *unknown*. ``str()`` is one sentence."""

    def __init__(self, need: Need, sentence: str) -> None:
        super().__init__(sentence)
        self.need = need


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything read of one cluster at ``taken_at`` (UTC)."""

    cluster: str
    taken_at: datetime
    listings: Mapping[Objects, Listing] = field(default_factory=dict)
    replies: Mapping[Need, Reply] = field(default_factory=dict)

    def objects(self, resource: str, namespace: str = "", labels: str = "") -> list[Any]:
        """The objects of a resource, filtered by namespace and by an equality selector (``a=b,c=d``).

        Served by the exact need, or filtered out of a wider one (all namespaces, no selector).
        :raises Missing: nobody read it, or its source did not answer.
        """
        last: Listing | None = None
        for need in _covering(resource, namespace, labels):
            listing = self.listings.get(need)
            if listing is None:
                continue
            if not listing.error:
                return [o for o in listing.within(namespace) if _matches(o, namespace, labels)]
            last = listing
        wanted = Objects(resource, namespace, labels)
        raise Missing(wanted, last.error if last else f"{RESOURCES[resource].kind} objects were not read.")

    def get(self, resource: str, namespace: str, name: str) -> Any | None:
        """One object by name, or None when it is not there. :raises Missing: as for :meth:`objects`."""
        for candidate in self.objects(resource, namespace):
            if candidate.metadata.name == name:
                return candidate
        return None

    def serves(self, resource: str) -> bool:
        """False only when a list of this resource was answered with "no such API": then there is no such object."""
        lists = [listing for need, listing in self.listings.items() if need.resource == resource]
        return not any(listing.error.startswith(NOT_SERVED) for listing in lists)

    def has(self, need: Need) -> bool:
        """Whether this need was read (an error counts as read)."""
        return need in self.listings or need in self.replies

    def raw(self, resource: str, namespace: str, name: str) -> dict[str, Any] | None:
        """One whole object, or None when it is not there. :raises Missing: it was not read."""
        found: dict[str, Any] | None = self.reply(Raw(resource, namespace, name)).body
        return found

    def reply(self, need: Need) -> Reply:
        """The answer to a need. :raises Missing: it was not asked, or nothing answered (``status`` 0)."""
        reply = self.replies.get(need)
        if reply is None:
            raise Missing(need, f"{need.source.capitalize()} was not asked yet.")
        if reply.status == 0:
            raise Missing(need, reply.error or f"{need.source.capitalize()} did not answer.")
        return reply


def _covering(resource: str, namespace: str, labels: str) -> Iterable[Objects]:
    yield Objects(resource, namespace, labels)
    if labels:
        yield Objects(resource, namespace)
    if namespace:
        if labels:
            yield Objects(resource, "", labels)
        yield Objects(resource)


def _matches(item: KubeObject, namespace: str, labels: str) -> bool:
    if namespace and item.metadata.namespace != namespace:
        return False
    return labels_match(item.metadata.labels, labels)


def labels_match(have: Mapping[str, str], selector: str) -> bool:
    """Whether labels satisfy an equality selector ``a=b,c`` (``c`` alone: the label exists)."""
    for term in filter(None, (part.strip() for part in selector.split(","))):
        key, equals, value = term.partition("=")
        if key not in have or (equals and have[key] != value.lstrip("=")):
            return False
    return True


def from_case(case: Mapping[str, Any]) -> Snapshot:
    """A Snapshot from a recorded case (the YAML files beside checks and signatures).

    Shape: ``{taken_at, cluster?, objects: {resource_key: [raw objects]}, errors: {resource_key: sentence},
    queries: {expr: result list}, fetches: {"grafana /api/health": {status, body, error}}, github: {host, …},
    links: {"ns/service:port/path": {status, error}},
    raws: {"resource_key ns/name": object or null}, logs: {"ns/pod/container[ previous]": [lines] or {status, error}},
    access: {"user verb resource": {allowed, reason}}, version: "v1.30.10"}``.
    Objects are decoded exactly as the reader does.
    """
    taken_at: datetime = case["taken_at"]
    listings: dict[Objects, Listing] = {}
    for key, raw in (case.get("objects") or {}).items():
        items = tuple(msgspec.convert(_without_nulls(item), kube.type_of(key), strict=False) for item in raw)
        listings[Objects(key)] = Listing(items=items, resource_version="1", confirmed_at=taken_at)
    for key, sentence in (case.get("errors") or {}).items():
        listings[Objects(key)] = Listing(error=sentence)
    replies: dict[Need, Reply] = {}
    for expr, result in (case.get("queries") or {}).items():
        replies[Query(expr)] = _reply({"body": result} if isinstance(result, list) else result, taken_at)
    for where, reply in (case.get("fetches") or {}).items():
        source, _, path = where.partition(" ")
        replies[Fetch(source, path)] = _reply(reply, taken_at)
    if "github" in case:
        replies[GitHubConnection()] = Reply(body=case["github"], at=taken_at)
    for where, reply in (case.get("links") or {}).items():
        namespace, _, rest = where.partition("/")
        service, _, tail = rest.partition(":")
        port, slash, path = tail.partition("/")
        replies[Link(namespace, service, port, slash + path or "/")] = _reply(reply, taken_at)
    for where, item in (case.get("raws") or {}).items():
        resource, _, path = where.partition(" ")
        namespace, _, name = path.rpartition("/")
        replies[Raw(resource, namespace, name)] = Reply(body=item, status=200 if item else 404, at=taken_at)
    for where, lines in (case.get("logs") or {}).items():
        name, _, flag = where.partition(" ")
        namespace, pod, container = name.split("/")
        reply = {"body": lines} if isinstance(lines, list) else {"status": 0, **lines}
        replies[Logs(namespace, pod, container, previous=flag == "previous")] = _reply(reply, taken_at)
    for question, body in (case.get("access") or {}).items():
        user, verb, resource = question.split(" ")
        replies[Access(user, verb, resource)] = Reply(body=body, at=taken_at)
    if "version" in case:
        replies[ServerVersion()] = Reply(body={"gitVersion": case["version"]}, at=taken_at)
    return Snapshot(cluster=case.get("cluster", "demo"), taken_at=taken_at, listings=listings, replies=replies)


def _reply(raw: Mapping[str, Any], at: datetime) -> Reply:
    return Reply(body=raw.get("body"), status=raw.get("status", 200), at=at, error=raw.get("error", ""))


def _without_nulls(value: Any) -> Any:
    """Servers write ``null`` for empty lists now and then; our structs say "left out" instead."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
