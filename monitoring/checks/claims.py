"""How a sentence of a hand-written report becomes a check: each check type owns the patterns of what it can prove.

A pattern sees one line and what stands above it (:class:`ClaimContext`); its builder answers with parameters, or None
when the line does not say enough. Nothing here reads a cluster or knows items. Reports are hostile text: the patterns
have no nested repeats, and the importer bounds the line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from monitoring.verdict import Verdict, Word

#: longest line a pattern is tried on
MAX_LINE = 600
#: what stands between a name and its value: ``Retention: 15d``, ``retention **is** 15d``, ``scrapes every 30s``
GAP = r"(?:\s|[*_`:=|–-]|\b(?:is|of|for|at|every|set to)\b){1,12}"
#: words before a statement in the same clause that make it a wish, a plan or its opposite
_UNREAL = re.compile(
    r"\b(?:should|would|could|will|shall|may|might|must|needs?|plan(?:s|ned|ning)?|want(?:s|ed)?|future|eventually|"
    r"not|no|never|without|if|until|instead)\b|n't\b|n’t\b",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[.;!?](?:\s|$)|,\s+but\s")


@dataclass(frozen=True, slots=True)
class ClaimContext:
    """``text`` is the claim, markup and all; ``parents`` are the lines and headings above it, nearest first.

    ``namespace`` is the one the report is about and ``application`` the Argo CD Application of its components, both
    empty when nobody knows.
    """

    text: str
    parents: tuple[str, ...] = ()
    namespace: str = ""
    application: str = ""
    application_namespace: str = "argocd"


@dataclass(frozen=True, slots=True)
class Claim:
    """A check that proves what a line says. ``quote`` is the part that was understood.

    ``contrary`` turns it around: the line says that something is *not* so (``Deployment removed``), and these are the
    causes with which the check must fail for the line to be right.
    """

    slug: str
    params: dict[str, Any]
    quote: str
    contrary: tuple[str, ...] = ()

    def holds(self, verdict: Verdict) -> bool | None:
        """Whether the line is right, by the verdict of its check; None when the check cannot tell."""
        if verdict.word is Word.UNKNOWN:
            return None
        if self.contrary:
            return verdict.cause in self.contrary
        return verdict.word is Word.VERIFIED


Builder = Callable[[re.Match[str], ClaimContext], tuple[str, dict[str, Any]] | None]


@dataclass(frozen=True, slots=True)
class ClaimPattern:
    """One way of saying what a check can prove; ``contrary`` as in :class:`Claim`."""

    regex: re.Pattern[str]
    builder: Builder
    contrary: tuple[str, ...] = ()


def pattern(regex: str, builder: Builder, *, contrary: tuple[str, ...] = ()) -> ClaimPattern:
    """A case-insensitive claim pattern."""
    return ClaimPattern(re.compile(regex, re.IGNORECASE), builder, contrary)


@dataclass(frozen=True, slots=True)
class Known:
    """A component people write about: how it is selected and what kind of workload it is."""

    selector: str
    kind: str


#: longest names first: ``Prometheus Operator`` is not ``Prometheus``
COMPONENTS: tuple[tuple[re.Pattern[str], Known], ...] = tuple(
    (re.compile(words, re.IGNORECASE), Known(selector, kind))
    for words, selector, kind in (
        (r"prometheus[ -]operator", "app.kubernetes.io/component=prometheus-operator", "Deployment"),
        (r"node[ -]?exporter", "app.kubernetes.io/name=prometheus-node-exporter", "DaemonSet"),
        (r"kube[ -]?state[ -]?metrics", "app.kubernetes.io/name=kube-state-metrics", "Deployment"),
        (r"alert[ -]?manager", "app.kubernetes.io/name=alertmanager", "StatefulSet"),
        (r"grafana", "app.kubernetes.io/name=grafana", "Deployment"),
        (r"prometheus", "app.kubernetes.io/name=prometheus", "StatefulSet"),
    )
)
_CHART = re.compile(r"kube-prometheus-stack")


def component(context: ClaimContext) -> Known | None:
    """What the claim is about: named in the line itself, else in the nearest line above that names one."""
    for text in (context.text, *context.parents):
        without_chart = _CHART.sub("", text[:MAX_LINE])
        for words, known in COMPONENTS:
            if words.search(without_chart):
                return known
    return None


def component_of(match: re.Match[str], context: ClaimContext) -> Known | None:
    """What a part of a line is about: the component named last before it, else :func:`component`."""
    before = _CHART.sub(lambda found: " " * len(found.group(0)), match.string[: match.start()])
    named = [(found.start(), found.end(), known) for words, known in COMPONENTS for found in words.finditer(before)]
    return max(named, key=lambda entry: entry[:2])[2] if named else component(context)


def scoped(context: ClaimContext, **params: Any) -> dict[str, Any]:
    """Parameters with the report's namespace when it has one."""
    return {"namespace": context.namespace, **params} if context.namespace else params


def _unreal(line: str, start: int) -> bool:
    """Whether what begins here is wished, planned or denied by the words before it in its clause."""
    clause = max((found.end() for found in _CLAUSE.finditer(line, 0, start)), default=0)
    return bool(_UNREAL.search(line, clause, start))


def read(patterns: Iterable[ClaimPattern], context: ClaimContext) -> list[Claim]:
    """Every claim these patterns find in the line, in order, without repeats; a part is understood once."""
    found: list[Claim] = []
    taken: list[tuple[int, int]] = []
    line = context.text[:MAX_LINE]
    for item in patterns:
        for match in item.regex.finditer(line):
            start, end = match.span()
            if _unreal(line, start) or any(start < upto and since < end for since, upto in taken):
                continue
            built = item.builder(match, context)
            if built is not None:
                taken.append((start, end))
                claim = Claim(built[0], built[1], match.group(0).strip(), item.contrary)
                if claim not in found:
                    found.append(claim)
    return found
