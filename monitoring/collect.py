"""Reads what is needed into a Snapshot, once; and opens the readers of one cluster.

The observer asks its polled needs with the same :func:`ask` and lists with the same reader, so that both makers of a
Snapshot share one code path. What could not be read is in the Snapshot as an error, never left out silently.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Protocol

from common import clock
from integrations.alertmanager.reader import AlertmanagerReader
from integrations.errors import NotFound, SourceError
from integrations.github.reader import GitHubReader
from integrations.grafana.reader import GrafanaReader
from integrations.http import Answer
from integrations.kubernetes import reader as kubernetes
from integrations.prometheus.reader import PrometheusReader
from monitoring.snapshot import (
    NOT_SERVED,
    Access,
    Fetch,
    GitHubConnection,
    Link,
    Listing,
    Logs,
    Need,
    Objects,
    Query,
    Raw,
    Reply,
    ServerVersion,
    Snapshot,
)

#: how deep a need may follow from another: what is asked about, the lists of where it lives, what those say to look at.
#: Whoever needs more asks for more at once: a list too many costs less than a round
ROUNDS = 3
#: of a plan's reading: in a repository each answer names the next question (branch, folder, file, an earlier proposal);
#: nothing is asked twice, so a plan that needs less takes no more
PLAN_ROUNDS = 6
_THREADS = 8


class Config(Protocol):
    """The settings that say where a cluster is; Django's settings object is one."""

    PORTAL_CLUSTER: str
    PORTAL_KUBECONFIG: str
    PORTAL_KUBE_CONTEXT: str
    PORTAL_PROMETHEUS_URL: str
    PORTAL_ALERTMANAGER_URL: str
    PORTAL_GRAFANA_URL: str
    PORTAL_GRAFANA_TOKEN_FILE: str
    PORTAL_GITHUB_URL: str
    PORTAL_GITHUB_TOKEN_FILE: str
    PORTAL_GITHUB_HOST: str


@dataclass(frozen=True, slots=True)
class Readers:
    """What reads one cluster. Argo CD is read through its custom resources, by the Kubernetes reader."""

    cluster: str
    kubernetes: kubernetes.Reader
    prometheus: PrometheusReader
    alertmanager: AlertmanagerReader
    grafana: GrafanaReader
    #: without a token it says of itself that there is no connection
    github: GitHubReader = field(default_factory=GitHubReader)

    def address(self, source: str) -> str:
        """Where a source (by its name) is read."""
        by_name = {
            "prometheus": self.prometheus.address,
            "alertmanager": self.alertmanager.address,
            "grafana": self.grafana.address,
            "github": self.github.address,
        }
        return by_name.get(source, self.kubernetes.address)

    def close(self) -> None:
        self.kubernetes.close()


def open_readers(config: Config) -> Readers:
    """The readers of the configured cluster; opens no connection yet. :raises SourceError: no usable kubeconfig."""
    reader = kubernetes.connect(config.PORTAL_KUBECONFIG, config.PORTAL_KUBE_CONTEXT)
    return Readers(
        cluster=config.PORTAL_CLUSTER,
        kubernetes=reader,
        prometheus=PrometheusReader(reader, config.PORTAL_PROMETHEUS_URL),
        alertmanager=AlertmanagerReader(reader, config.PORTAL_ALERTMANAGER_URL),
        grafana=GrafanaReader(reader, config.PORTAL_GRAFANA_URL, config.PORTAL_GRAFANA_TOKEN_FILE),
        github=GitHubReader(config.PORTAL_GITHUB_URL, config.PORTAL_GITHUB_TOKEN_FILE, config.PORTAL_GITHUB_HOST),
    )


def once(readers: Readers, needs: Callable[[Snapshot], Iterable[Need]], rounds: int = ROUNDS) -> Snapshot:
    """Read everything that ``needs`` asks for; it is asked again with what was read, for ``rounds`` at most.

    Never raises for a source: its listing or reply carries the error.
    """
    listings: dict[Objects, Listing] = {}
    replies: dict[Need, Reply] = {}
    snapshot = Snapshot(readers.cluster, clock.now())
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="collect") as pool:
        for _ in range(rounds):
            wanted = widest(needs(snapshot))
            objects = [need for need in wanted if isinstance(need, Objects) and not covered(need, listings)]
            others = [need for need in wanted if not isinstance(need, Objects) and need not in replies]
            if not objects and not others:
                break
            listed = pool.map(lambda need: listing(readers, need), objects)
            answered = pool.map(lambda need: answer(readers, need), others)
            listings.update(zip(objects, listed, strict=True))
            replies.update(zip(others, answered, strict=True))
            snapshot = Snapshot(readers.cluster, clock.now(), dict(listings), dict(replies))
    return snapshot


def covers(wide: Objects, narrow: Objects) -> bool:
    """Whether a list of ``wide`` holds everything of ``narrow`` (``Snapshot.objects`` filters it out)."""
    return (
        wide.resource == narrow.resource
        and wide.namespace in ("", narrow.namespace)
        and wide.labels in ("", narrow.labels)
    )


def covered(need: Objects, by: Iterable[Objects]) -> bool:
    """Whether one of ``by`` covers the need."""
    return any(covers(wide, need) for wide in by)


def widest(needs: Iterable[Need]) -> list[Need]:
    """The needs without those lists that another one covers, in their order."""
    unique = list(dict.fromkeys(needs))
    objects = [need for need in unique if isinstance(need, Objects)]
    return [
        need
        for need in unique
        if not isinstance(need, Objects) or not any(covers(other, need) for other in objects if other != need)
    ]


def listing(readers: Readers, need: Objects) -> Listing:
    """One list, or why there is none."""
    try:
        items, version = readers.kubernetes.list(need.resource, need.namespace, need.labels)
    except SourceError as error:
        return Listing(error=sentence_of(need, error))
    return Listing(tuple(items), version, clock.now())


def sentence_of(need: Objects, error: SourceError) -> str:
    """Why a list could not be read, for people."""
    if isinstance(error, NotFound):
        return f"{NOT_SERVED} {need.resource}: its API or CRD is not installed."
    return f"Listing {need.resource} failed: {error.sentence}"


def answer(readers: Readers, need: Need) -> Reply:
    """One polled answer; ``status`` 0 and a sentence when nothing answered."""
    try:
        return ask(readers, need)
    except SourceError as error:
        return Reply(status=0, at=clock.now(), error=error.sentence)


def ask(readers: Readers, need: Need) -> Reply:
    """One polled answer. :raises SourceError: nothing answered, or we may not ask."""
    match need:
        case Query(expr):
            vector = readers.prometheus.query(expr)
            return Reply(vector.result, 200, clock.now(), digest=vector.digest)
        case Fetch("prometheus", path):
            return _reply(readers.prometheus.get(path))
        case Fetch("alertmanager", path):
            return _reply(readers.alertmanager.get(path))
        case Fetch("grafana", path):
            return _reply(readers.grafana.get(path))
        case Fetch("github", path):
            return _reply(readers.github.get(path))
        case GitHubConnection():
            found_connection = readers.github.connection()
            return Reply(asdict(found_connection), 200, clock.now())
        case Link(namespace, service, port, path):
            found = readers.kubernetes.proxy_get(namespace, service, port, path)
            error = found.error or (f"HTTP {found.status}" if found.status >= 400 else "")
            return Reply({"bytes": len(found.body)}, found.status, clock.now(), error)
        case Logs(namespace, pod, container, previous, tail):
            lines = readers.kubernetes.logs(namespace, pod, container, previous=previous, tail=tail)
            return Reply(lines, 200, clock.now())
        case ServerVersion():
            return Reply(readers.kubernetes.version(), 200, clock.now())
        case Access(user, verb, resource, group, namespace):
            allowed, reason = readers.kubernetes.access_review(user, verb, resource, group, namespace)
            return Reply({"allowed": allowed, "reason": reason}, 200, clock.now())
        case Raw(resource, namespace, name):
            item = readers.kubernetes.get_raw(resource, namespace, name)
            return Reply(item, 200 if item is not None else 404, clock.now())
        case _:
            raise ValueError(f"nobody reads {need!r}")


def _reply(answered: Answer) -> Reply:
    return Reply(answered.json(), answered.status, clock.now(), answered.error, answered.digest)
