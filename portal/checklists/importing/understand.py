"""What a report says, section by section: phases, items, decisions, options, lessons, resources. Pure.

It knows how people write, not what is true. Each finder marks the lines it understood; what is left is listed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from portal.checklists.importing.document import Document, Kind, Unit
from portal.checklists.importing.sections import (
    KEYED,
    NAME_COLUMN,
    NUMBERED,
    OPTION,
    PERCENT,
    PHASE,
    STATE_TAIL,
    STATUS_COLUMN,
    TAIL,
    object_name,
    section_named,
    singular,
)
from portal.checklists.importing.shapes import (
    Attempt,
    FoundDecision,
    FoundItem,
    FoundLesson,
    FoundOption,
    FoundPhase,
    FoundResource,
    NotUnderstood,
)
from portal.checklists.importing.text import (
    Claimed,
    find_date,
    key_of,
    lead,
    mark_of,
    normal,
    plain,
    state_of,
    unmarked,
)

#: sections that a paragraph before a list may name, as a heading does
_LABELLED = ("attempts", "state", "decisions", "lessons", "resources")


@dataclass(slots=True)
class Understood:
    """What was found, with ``lines`` that somebody understood."""

    title: str = ""
    dated_on: date | None = None
    phase_number: int | None = None
    phases: list[FoundPhase] = field(default_factory=list)
    items: list[FoundItem] = field(default_factory=list)
    decisions: list[FoundDecision] = field(default_factory=list)
    options: list[FoundOption] = field(default_factory=list)
    lessons: list[FoundLesson] = field(default_factory=list)
    resources: list[FoundResource] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)
    #: units that say something about the future or the past: no claims are read from them
    silent: set[int] = field(default_factory=set)
    lines: set[int] = field(default_factory=set)

    def take(self, *units: Unit) -> None:
        """These units are understood."""
        for unit in units:
            self.lines.update(range(unit.first, unit.last + 1))


def understand(document: Document) -> Understood:
    """Everything a report says but its claims."""
    found = Understood()
    reader = _Understanding(document, found)
    reader.meta()
    reader.phases()
    reader.options()
    reader.sections()
    reader.tables()
    reader.items()
    return found


def rest(document: Document, found: Understood) -> tuple[NotUnderstood, ...]:
    """Content lines nobody understood; a heading or a label counts as understood when something under it was."""
    for unit in document.units:
        if set(range(unit.first, unit.last + 1)) <= found.lines:
            found.take(*(above for above in document.above(unit) if above.kind is not Kind.ITEM))
            found.lines.update(range(unit.header[0], unit.header[1] + 1) if unit.kind is Kind.CELL else ())
    left: list[NotUnderstood] = []
    kinds = {line: unit.kind for unit in document.units for line in range(unit.first, unit.last + 1)}
    for line, text in enumerate(document.lines, start=1):
        if line in found.lines or document.structural(line):
            continue
        last = left[-1] if left else None
        joins = kinds.get(line) in {Kind.CODE, Kind.HTML, None} and last is not None and last.lines[1] == line - 1
        if joins and last is not None and kinds.get(last.lines[1]) is kinds.get(line):
            left[-1] = NotUnderstood((last.lines[0], line), f"{last.text}\n{text.rstrip()}")
        else:
            left.append(NotUnderstood((line, line), text.strip()))
    return tuple(left)


class _Understanding:
    """One pass per kind of section, over the same units."""

    def __init__(self, document: Document, found: Understood) -> None:
        self._document = document
        self._units = document.units
        self._found = found
        self._children: dict[int, list[Unit]] = {}
        for unit in document.units:
            if unit.parents:
                self._children.setdefault(unit.parents[0], []).append(unit)

    # -- the head of the report -----------------------------------------------------------------------------------

    def meta(self) -> None:
        """Title, date, the phase it is about; ``**Date**: …`` and ``**Status**: …`` lines."""
        heading = next((unit for unit in self._units if unit.kind is Kind.HEADING), None)
        first = heading or next(iter(self._units), None)
        if first is not None:
            self._found.title = plain(first.text)[:200]
            match = PHASE.search(first.text)
            self._found.phase_number = int(match[1]) if match else None
            if heading is not None:
                self._found.take(heading)
        for unit in self._units:
            if unit.kind is not Kind.PARAGRAPH or unit.parents:
                continue
            name, text = lead(unit.text)
            label = normal(name)
            if label in {"date", "datum", "report date", "week of"} or normal(unit.text).startswith("date:"):
                self._found.dated_on = self._found.dated_on or find_date(unit.text)
                self._found.take(unit)
            elif label in {"status", "next session", "author", "team", "owner"} and text:
                self._found.take(unit)
        for unit in self._units[:12]:
            day = find_date(unit.text) if unit.kind in {Kind.HEADING, Kind.PARAGRAPH} else None
            if day is not None and self._found.dated_on is None:
                self._found.dated_on = day
                self._found.take(unit)

    def phases(self) -> None:
        """Phases named in headings, or in the first line when there are none; with a percentage someone claims."""
        sources = [unit for unit in self._units if unit.kind is Kind.HEADING] or list(self._units[:1])
        for unit in sources:
            match = PHASE.search(plain(unit.text))
            if match is None:
                continue
            title = unmarked(TAIL.sub("", match[2] or ""))
            self._phase(FoundPhase("", int(match[1]), title[:120], (unit.first, unit.last)))
            self._found.take(unit)
        percents = [int(m[1]) for unit in sources if self._about(unit) and (m := PERCENT.search(unit.text))]
        claimed = next((percent for percent in percents if percent <= 100), None)
        if claimed is not None and self._found.phase_number is not None:
            for index, phase in enumerate(self._found.phases):
                if phase.number == self._found.phase_number:
                    lines = phase.lines
                    self._found.phases[index] = FoundPhase(
                        "", phase.number, phase.title, lines, claimed_percent=claimed
                    )

    def _about(self, unit: Unit) -> bool:
        """Whether a heading is about the phase the whole report is about."""
        return self._phase_of(unit) in {None, self._found.phase_number}

    def _phase(self, new: FoundPhase) -> None:
        for index, phase in enumerate(self._found.phases):
            if phase.number == new.number:
                if new.title and not phase.title:
                    self._found.phases[index] = FoundPhase("", phase.number, new.title, phase.lines)
                return
        self._found.phases.append(new)

    def _phase_of(self, unit: Unit) -> int | None:
        """The phase named by the nearest heading above (or the heading itself), else the report's own."""
        for above in (unit, *self._document.above(unit)):
            if above.kind is Kind.HEADING and (match := PHASE.search(above.text)):
                return int(match[1])
        return self._found.phase_number

    # -- sections -------------------------------------------------------------------------------------------------

    def section_of(self, unit: Unit) -> str:
        """The section a unit stands in: by its label, then by its headings, nearest first."""
        if unit.label is not None:
            name = section_named(
                self._units[unit.label].text, ("attempts", "state", "decisions", "lessons", "resources")
            )
            if name:
                return name
        for index in unit.headings:
            name = section_named(self._units[index].text)
            if name:
                return name
        return ""

    def options(self) -> None:
        """``Option A: …``, as list items or headings, with the steps beneath."""
        for unit in self._units:
            match = OPTION.match(plain(unit.text)) if unit.kind in {Kind.ITEM, Kind.HEADING, Kind.PARAGRAPH} else None
            if match is None:
                continue
            steps = self._children.get(unit.index, []) if unit.kind is Kind.ITEM else self._directly_under(unit)
            last = max([unit.last, *(step.last for step in steps)])
            letter = match[1].upper()
            title = unmarked(match[2])[:200]
            texts = tuple(plain(step.text)[:500] for step in steps)
            self._found.options.append(FoundOption(letter, title, texts, (unit.first, last)))
            self._found.take(unit, *steps)
            self._silence(unit, *steps)

    def _directly_under(self, heading: Unit) -> list[Unit]:
        """The list items right under a heading, or introduced by a paragraph."""
        found = []
        for unit in self._units[heading.index + 1 :]:
            if unit.kind is Kind.HEADING:
                break
            if unit.kind is Kind.ITEM and unit.level == 1:
                found.append(unit)
        return found if heading.kind is Kind.HEADING else [u for u in found if u.label == heading.index]

    def _silence(self, *units: Unit) -> None:
        for unit in units:
            self._found.silent.add(unit.index)
            self._silence(*self._children.get(unit.index, []))

    def sections(self) -> None:
        """Decisions, lessons, resources and attempts: the top items of their sections."""
        decisions: dict[int, list[Unit]] = {}
        for unit in self._units:
            if unit.kind not in {Kind.ITEM, Kind.PARAGRAPH} or unit.index in self._found.silent:
                continue
            section = self.section_of(unit)
            top = unit.kind is Kind.ITEM and unit.level == 1
            if section == "decisions":
                decisions.setdefault(unit.headings[0] if unit.headings else -1, []).append(unit)
            elif section == "lessons" and top:
                self._lesson(unit)
            elif section == "resources" and top:
                self._resource(unit)
            elif section == "attempts" and top:
                self._found.attempts.append(Attempt(plain(unit.text)[:500], (unit.first, unit.last), unit.index))
                self._found.take(unit)
                self._silence(unit)
        for heading, units in decisions.items():
            self._decide(heading, units)

    def _lesson(self, unit: Unit) -> None:
        title, text = lead(unit.text)
        below = " ".join(plain(child.text) for child in self._below(unit))
        whole = " ".join(part for part in (text, below) if part)
        key = key_of(title, "lesson", (lesson.key for lesson in self._found.lessons))
        last = max([unit.last, *(child.last for child in self._below(unit))])
        self._found.lessons.append(FoundLesson(key, title[:200], whole[:4000], (unit.first, last)))
        self._found.take(unit, *self._below(unit))
        self._silence(unit)

    def _below(self, unit: Unit) -> Iterator[Unit]:
        for child in self._children.get(unit.index, []):
            yield child
            yield from self._below(child)

    def _resource(self, unit: Unit) -> None:
        label = self._units[unit.label] if unit.label is not None else None
        head = label or (self._units[unit.headings[0]] if unit.headings else None)
        kind = singular(plain(head.text)) if head is not None else ""
        self._found.resources.append(
            FoundResource(kind, object_name(unit.text), plain(unit.text)[:500], (unit.first, unit.last))
        )
        self._found.take(unit)

    def _decide(self, heading: int, units: list[Unit]) -> None:
        """All of one heading is one decision; under the section's own heading each top item is one."""
        own = self._units[heading] if heading >= 0 else None
        if own is not None and self._names_a_decision(own):
            self._decision(plain(unmarked(own.text)), units, own)
            return
        for unit in units:
            if unit.kind is Kind.ITEM and unit.level == 1:
                title, text = lead(unit.text)
                self._decision(title, [unit, *self._below(unit)], None, text)

    def _names_a_decision(self, heading: Unit) -> bool:
        """Whether a heading is one decision (``ADR-7: Ingress``) and not the head of them all."""
        if not section_named(heading.text, ("decisions",)) or NUMBERED.match(plain(heading.text)):
            return True
        return any(section_named(self._units[index].text, ("decisions",)) for index in heading.headings)

    def _decision(self, title: str, units: list[Unit], heading: Unit | None, selected: str = "") -> None:
        reason, alternatives, points = "", [], []
        for unit in units:
            name, text = lead(unit.text)
            keyed = KEYED.match(f"{name}:" if text else f"{plain(unit.text)}:")
            word = keyed[1].lower() if keyed else ""
            said = text or plain(unit.text).partition(":")[2].strip()
            if word in {"selected", "chosen", "decision", "choice"} and said:
                selected = selected or said
            elif word in {"reason", "why", "rationale", "because"} and said:
                reason = reason or said
            elif word and said:
                alternatives.append(said[:500])
            elif not (heading is None and unit is units[0]):
                points.append((f"{name}: {text}" if text else plain(unit.text))[:500])
        key = key_of(title, "decision", (each.key for each in self._found.decisions))
        lines = ((heading or units[0]).first, max(unit.last for unit in units))
        self._found.decisions.append(
            FoundDecision(key, title[:200], lines, selected[:500], reason[:500], tuple(alternatives), tuple(points))
        )
        self._found.take(*units, *([heading] if heading else []))

    # -- items ----------------------------------------------------------------------------------------------------

    def items(self) -> None:
        """Boxes anywhere; the top items of *done*, *open* and phase sections; marked ones under any heading."""
        for unit in self._units:
            if unit.kind is not Kind.ITEM or unit.index in self._found.silent:
                continue
            section = self.section_of(unit)
            if section in {"decisions", "lessons", "resources", "attempts", "state"} and unit.checked is None:
                continue
            claimed = self._claimed(unit, section)
            if claimed is not None:
                self._item(unit, claimed)
        for unit in self._units:
            if unit.kind is Kind.HEADING:
                self._heading_item(unit)

    def _claimed(self, unit: Unit, section: str) -> Claimed | None:
        if unit.checked is not None:
            return Claimed.DONE if unit.checked else Claimed.OPEN
        if unit.level != 1:
            return None
        own = mark_of(unit.text)
        nearest = self._units[unit.headings[0]] if unit.headings else None
        around = state_of(nearest.text) if nearest is not None and mark_of(nearest.text) else None
        if section == "done" and around in {None, Claimed.DONE}:
            return own or Claimed.DONE
        if section == "open" or (nearest is not None and nearest.level > 1 and PHASE.search(nearest.text)):
            return own or Claimed.OPEN
        return own

    def _item(self, unit: Unit, claimed: Claimed) -> None:
        title, detail = lead(unit.text)
        if not title:
            return
        lines = (unit.first, unit.last)
        number = self._phase_of(unit)
        self._found.items.append(FoundItem(title[:200], detail[:1000], claimed, lines, unit.index, number))
        self._found.take(unit)
        if claimed is Claimed.OPEN:
            self._silence(unit)

    def _heading_item(self, unit: Unit) -> None:
        """``### ⚠️ Grafana UI - In Progress``: a marked heading with no items of its own beneath is one itself."""
        claimed = mark_of(unit.text)
        if claimed is None or unit.level == 1 or PHASE.search(unit.text):
            return
        if any(unit.index in self._units[item.unit].headings for item in self._found.items):
            return
        title = STATE_TAIL.sub("", unmarked(plain(unit.text)))
        number = self._phase_of(unit)
        self._found.items.append(FoundItem(title[:200], "", claimed, (unit.first, unit.last), unit.index, number))
        self._found.take(unit)

    def tables(self) -> None:
        """Rows of a table that has a status column are items; those of a resources section are resources."""
        rows: dict[tuple[int, tuple[int, int]], list[Unit]] = {}
        for unit in self._units:
            if unit.kind is Kind.CELL:
                rows.setdefault((unit.first, unit.header), []).append(unit)
        for cells in rows.values():
            status = next((cell for cell in cells if STATUS_COLUMN.match(plain(cell.column))), None)
            named = next((cell for cell in cells if NAME_COLUMN.match(plain(cell.column))), cells[0])
            section = self.section_of(cells[0])
            if section == "resources" and cells[0].text:
                kind = singular(plain(cells[0].text if len(cells) > 1 else cells[0].column))
                text = plain(cells[1].text if len(cells) > 1 else cells[0].text)
                lines = (cells[0].first, cells[0].last)
                self._found.resources.append(FoundResource(kind, object_name(text), text[:500], lines))
                self._found.take(*cells)
            elif status is not None and named is not status and named.text and section not in {"lessons", "decisions"}:
                claimed = state_of(status.text) or Claimed.OPEN
                self._item(named, claimed)
