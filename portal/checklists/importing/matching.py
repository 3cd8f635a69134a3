"""Ties what a report names to what the project has: by key, then by exact title, else it is proposed. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from portal.checklists.importing.shapes import FoundItem, FoundPhase
from portal.checklists.importing.text import key_of, normal

_CODE_KEY = re.compile(r"`([a-z0-9]+(?:-[a-z0-9]+)*)`|\[([a-z0-9]+(?:-[a-z0-9]+)+)\](?!\()")


@dataclass(frozen=True, slots=True)
class KnownPhase:
    key: str
    number: int
    title: str


@dataclass(frozen=True, slots=True)
class KnownItem:
    key: str
    title: str
    phase: str
    aliases: tuple[str, ...] = ()


def match_phases(found: Sequence[FoundPhase], known: Sequence[KnownPhase]) -> list[FoundPhase]:
    """Phases by title, then by number; a new one is proposed with a key of its own."""
    by_title = {normal(phase.title): phase for phase in known}
    by_number = {phase.number: phase for phase in known}
    taken = {phase.key for phase in known}
    matched = []
    for phase in found:
        same = by_title.get(normal(phase.title)) if phase.title else None
        other = by_number.get(phase.number)
        if same is not None:
            matched.append(replace(phase, key=same.key, number=same.number, match="title"))
        elif other is not None:
            matched.append(replace(phase, key=other.key, title=phase.title or other.title, match="number"))
        else:
            title = phase.title or f"Phase {phase.number}"
            key = key_of(title, "phase", taken)
            taken.add(key)
            matched.append(replace(phase, key=key, title=title))
    return matched


def match_items(
    found: Sequence[FoundItem],
    known: Sequence[KnownItem],
    phases: Sequence[FoundPhase],
    default_phase: str,
    text: Sequence[str],
) -> list[FoundItem]:
    """Items by key (written in the line, or the slug of the title), then by exact title or alias, else proposed.

    ``text`` is the source, for keys written as code. A title proposed twice is one item.
    """
    by_key = {each.key: each for each in known}
    by_title: dict[str, KnownItem] = {}
    for each in known:
        for title in (each.title, *each.aliases):
            by_title.setdefault(normal(title), each)
    by_number = {phase.number: phase.key for phase in phases}
    taken = set(by_key)
    proposed: dict[str, FoundItem] = {}
    matched = []
    for item in found:
        same, how = _find(item, by_key, by_title, text)
        if same is not None:
            matched.append(replace(item, key=same.key, phase=same.phase, match=how))
            continue
        name = normal(item.title)
        if name not in proposed:
            key = key_of(item.title, "item", taken)
            taken.add(key)
            phase = by_number.get(item.phase_number or -1, default_phase)
            proposed[name] = replace(item, key=key, phase=phase)
        matched.append(replace(item, key=proposed[name].key, phase=proposed[name].phase))
    return matched


def _find(
    item: FoundItem, by_key: dict[str, KnownItem], by_title: dict[str, KnownItem], text: Sequence[str]
) -> tuple[KnownItem | None, str]:
    line = text[item.lines[0] - 1] if item.lines[0] <= len(text) else ""
    for code, bracket in _CODE_KEY.findall(line[:600]):
        if (code or bracket) in by_key:
            return by_key[code or bracket], "key"
    slug = key_of(item.title, "item")
    if slug in by_key:
        return by_key[slug], "key"
    return by_title.get(normal(item.title)), "title"
