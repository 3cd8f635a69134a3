"""The receipt of a reading: what exactly it rests on, so that a person can look at the same thing.

Pure. Times and versions are those of what was read; nothing here is secret (digests, references, expressions).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from monitoring.checks import registry
from monitoring.snapshot import Access, Fetch, GitHubConnection, Link, Logs, Need, Query, Reply, ServerVersion
from monitoring.verdict import Verdict

_MOST_REFS = 30


def receipt(
    slug: str,
    verdict: Verdict,
    watches: Mapping[str, Iterable[str]],
    replies: Mapping[Need, Reply],
    address: str,
    at: datetime,
) -> dict[str, Any]:
    """Source, object references with resourceVersion, queries with the digest of their reply, time, checker version."""
    found: dict[str, Any] = {
        "checker": f"{slug}@{registry.VERSION}",
        "at": at.isoformat(),
        "address": address,
        "watches": {name: sorted(keys) for name, keys in watches.items()},
        "polled": sorted({need.source for need in replies}),
        "refs": [
            {
                "kind": ref.kind,
                "group": ref.group,
                "namespace": ref.namespace,
                "name": ref.name,
                "uid": ref.uid,
                "resourceVersion": ref.resource_version,
            }
            for ref in verdict.refs[:_MOST_REFS]
        ],
        "queries": [
            {"query": describe(need), "source": need.source, "status": reply.status, "digest": reply.digest}
            for need, reply in replies.items()
        ],
    }
    if len(verdict.refs) > _MOST_REFS:
        found["more_refs"] = len(verdict.refs) - _MOST_REFS
    return found


def describe(need: Need) -> str:
    """A polled need as a person would write it."""
    match need:
        case Query(expr):
            return expr
        case Fetch(_, path):
            return f"GET {path}"
        case Link(namespace, service, port, path):
            return f"GET {namespace}/{service}:{port}{path}"
        case Logs(namespace, pod, container, previous, tail):
            return f"logs {namespace}/{pod}/{container}{' --previous' if previous else ''} --tail={tail}"
        case ServerVersion():
            return "GET /version"
        case GitHubConnection():
            return "whether a GitHub connection is configured"
        case Access(user, verb, resource, group, namespace):
            return f"may {user} {verb} {resource}{f'.{group}' if group else ''} in {namespace or 'the cluster'}"
        case _:
            return f"{need.resource} in {need.namespace or 'all namespaces'}"
