"""All check types, and the one way to run them.

``run`` never raises for what a cluster says: what was not read is *unknown* with its sentence, and a check that breaks
is *unknown* too, never green. ``parse`` raises ValueError with a sentence for the person who writes a definition.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Any

import msgspec

from common import structs
from common.canonical import digest
from monitoring.checks import (
    alerting,
    argocd,
    attestation,
    claims,
    firing,
    grafana,
    links,
    nodes,
    operator,
    placement,
    prometheus,
    restarts,
    services,
    storage,
    workloads,
)
from monitoring.checks.base import CheckType, Params, unknown
from monitoring.snapshot import Missing, Need, Snapshot
from monitoring.verdict import Verdict

#: goes into every receipt; raise it when a check's meaning changes
VERSION = "1"

_FAMILIES = (
    workloads,
    restarts,
    services,
    links,
    storage,
    nodes,
    placement,
    argocd,
    prometheus,
    operator,
    grafana,
    alerting,
    firing,
    attestation,
)
_log = logging.getLogger(__name__)


@cache
def _types() -> dict[str, CheckType]:
    found = {kind.slug: kind for family in _FAMILIES for kind in family.TYPES}
    structs.prepare(*(kind.params for kind in found.values()))
    return found


def all_types() -> tuple[CheckType, ...]:
    """Every check type, by family."""
    return tuple(_types().values())


def get(slug: str) -> CheckType:
    """:raises ValueError: no such type; the sentence names all there are."""
    try:
        return _types()[slug]
    except KeyError:
        raise ValueError(f"There is no check type {slug!r}. Use one of {', '.join(sorted(_types()))}.") from None


def parse(slug: str, raw: Mapping[str, Any]) -> Params:
    """Parameters from a definition. :raises ValueError: one sentence that says what to write instead."""
    kind = get(slug)
    try:
        return msgspec.convert(_plain(raw), kind.params)
    except msgspec.ValidationError as error:
        names = ", ".join(field.encode_name for field in msgspec.structs.fields(kind.params))
        raise ValueError(f"{str(error).rstrip('.')}. Its parameters are {names}.") from None


def canonical(slug: str, raw: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """The parameters without defaults, as JSON values, and their SHA-256. :raises ValueError: as :func:`parse`."""
    params: dict[str, Any] = msgspec.to_builtins(parse(slug, raw))
    return params, digest(params)


def params_of(slug: str, params: Params | Mapping[str, Any]) -> Params:
    """Accepts both forms: what :func:`parse` gave and what a Check row holds."""
    return params if isinstance(params, Params) else parse(slug, params)


def needs(slug: str, params: Params | Mapping[str, Any], snapshot: Snapshot) -> tuple[Need, ...]:
    """What this check wants to be read, given what was read so far. Ask again until it adds nothing."""
    return tuple(get(slug).needs(snapshot, params_of(slug, params)))


def run(slug: str, params: Params | Mapping[str, Any], snapshot: Snapshot, now: datetime) -> Verdict:
    """The verdict of one check, always."""
    kind = get(slug)
    parsed = params_of(slug, params)
    try:
        verdict = kind.evaluate(snapshot, parsed, now)
    except Missing as missing:
        verdict = unknown("not_read", str(missing), "not read")
    except Exception as error:  # noqa: BLE001 - a check meets whatever a cluster sends; a broken one must read unknown, never green
        _log.exception("check %s broke", slug)
        verdict = unknown(
            "check_broke",
            f"This check could not read what it was given ({type(error).__name__}). Report it.",
            "not read",
        )
    return verdict if verdict.expected else msgspec.structs.replace(verdict, expected=kind.expected(parsed))


def command(slug: str, params: Params | Mapping[str, Any]) -> str:
    """The line a person can run to see the same."""
    return get(slug).command(params_of(slug, params))


def expected(slug: str, params: Params | Mapping[str, Any]) -> str:
    """What is expected, in short."""
    return get(slug).expected(params_of(slug, params))


def source_of(slug: str, params: Params | Mapping[str, Any]) -> str:  # noqa: ARG001 - a type may come to depend on them
    """The source whose age and outage this check shares."""
    return get(slug).source


def watched(slug: str, params: Params | Mapping[str, Any]) -> bool:  # noqa: ARG001 - as above
    """Whether its age is its watches' age (else: the time it was read)."""
    return get(slug).watched


def read_claims(context: claims.ClaimContext) -> list[claims.Claim]:
    """The checks that prove or disprove a line of a report; only what parses is returned."""
    found: list[claims.Claim] = []
    for kind in all_types():
        for claim in claims.read(kind.claims, context):
            if _parses(claim) and claim not in found:
                found.append(claim)
    return found


def _parses(claim: claims.Claim) -> bool:
    try:
        parse(claim.slug, claim.params)
    except ValueError:
        return False
    return True


def _plain(value: Any) -> Any:
    """Plain types out of what a YAML reader with line numbers makes (subclasses of str, int, float, dict, list)."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, Iterable):
        return [_plain(item) for item in value]
    return value
