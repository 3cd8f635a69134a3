"""Which lines of a report a check can prove, and whether the cluster agrees. Pure but for what it is given.

The check types own the patterns (``monitoring.checks.registry.read_claims``); this module hands them each line with
what stands above it, and turns the verdict of the check into the verdict on the claim.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from monitoring.checks import registry
from monitoring.checks.claims import Claim, ClaimContext
from monitoring.verdict import Verdict
from portal.checklists.importing.document import Document, Kind, Unit
from portal.checklists.importing.shapes import FoundClaim
from portal.checklists.importing.text import plain
from portal.checklists.importing.understand import Understood

#: different checks a report may ask for; what comes after is listed and not checked
MAX_CHECKS = 500
CONFIRMED, CONTRADICTED, NOT_CHECKABLE = "confirmed", "contradicted", "not checkable"
_NAMESPACE = re.compile(r"(?:-n|--namespace)[ =]([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)\b")

#: the verdict of a check and the line to run by hand, or None when nobody has read it
Judge = Callable[[str, Mapping[str, Any]], tuple[Verdict, str] | None]


def find(
    document: Document, found: Understood, namespaces: Iterable[str], applications: Iterable[str]
) -> list[FoundClaim]:
    """Every claim in the report. ``namespaces`` and ``applications`` are those the project's checks already name."""
    namespace, application = _namespace(document, found, namespaces), _application(document, applications)
    claims: list[FoundClaim] = []
    for unit in document.units:
        if unit.kind in {Kind.HEADING, Kind.HTML} or unit.index in found.silent:
            continue
        above = tuple(plain(other.text) for other in document.above(unit))
        if unit.kind is Kind.CELL:
            above = (unit.row, *above)
        for line, text in _lines(document, unit):
            for claim in registry.read_claims(ClaimContext(text, above, namespace, application)):
                params, digest = registry.canonical(claim.slug, claim.params)
                shown = plain(text.lstrip(" \t-*+>")) or text.strip()
                new = FoundClaim(shown[:500], (line, line), claim.slug, params, digest, claim.contrary, unit.index)
                if not any(_same(new, other) for other in claims[-10:]):
                    claims.append(new)
                    found.lines.add(line)
    return claims


def _same(one: FoundClaim, other: FoundClaim) -> bool:
    """Whether two parts of a line ask for the same check."""
    return (one.lines, one.slug, one.params_hash, one.contrary) == (
        other.lines,
        other.slug,
        other.params_hash,
        other.contrary,
    )


def _lines(document: Document, unit: Unit) -> Iterable[tuple[int, str]]:
    """The source lines of a unit as the patterns want them; a cell reads ``column: text`` and ``row: text``."""
    if unit.kind is Kind.CELL:
        yield unit.first, f"{unit.column}: {unit.text}" if unit.column else unit.text
        if unit.cell:
            yield unit.first, f"{unit.row}: {unit.text}"
        return
    for line in range(unit.first, unit.last + 1):
        yield line, document.lines[line - 1]


def _namespace(document: Document, found: Understood, known: Iterable[str]) -> str:
    """What the report is about: the one namespace it lists, else the one its commands name most, else the project's."""
    listed = [resource.name for resource in found.resources if resource.kind.lower() == "namespace" and resource.name]
    if len(listed) == 1:
        return listed[0]
    named: Counter[str] = Counter(name for line in document.lines for name in _NAMESPACE.findall(line[:500]))
    if named:
        return named.most_common(1)[0][0]
    return next((name for name, _ in Counter(filter(None, known)).most_common(1)), "")


def _application(document: Document, known: Iterable[str]) -> str:
    """The application of the project that the report names most often."""
    counts = {name: sum(line.count(name) for line in document.lines) for name in sorted(set(known)) if name}
    best = max(counts.items(), key=lambda entry: entry[1], default=("", 0))
    return best[0] if best[1] else ""


def judge_all(claims: Iterable[FoundClaim], judge: Judge) -> list[FoundClaim]:
    """The claims with their verdicts; each check is asked once."""
    answers: dict[tuple[str, str], tuple[Verdict, str] | None] = {}
    judged = []
    for claim in claims:
        key = (claim.slug, claim.params_hash)
        if key not in answers:
            answers[key] = judge(claim.slug, claim.params) if len(answers) < MAX_CHECKS else None
        answer = answers[key]
        if answer is None:
            judged.append(replace(claim, verdict=NOT_CHECKABLE, evidence="Nobody has read this yet."))
            continue
        verdict, command = answer
        holds = Claim(claim.slug, claim.params, claim.text, claim.contrary).holds(verdict)
        said = NOT_CHECKABLE if holds is None else CONFIRMED if holds else CONTRADICTED
        judged.append(replace(claim, verdict=said, evidence=verdict.sentence, command=command))
    return judged
