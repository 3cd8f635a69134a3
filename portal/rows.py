"""The live rows: a topic becomes the fragments that an open page morphs in (design §7).

The same templates as the pages, rendered once per (topic, role) for everybody: nothing here depends on the person, and
no form token is in it. A target that is not on a page is dropped by htmx, so one topic's fragments fit every page.
Knows no Redis and no stream; an unknown topic or a missing row gives nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.template.loader import render_to_string
from django.utils.html import format_html
from django.utils.safestring import mark_safe

from common.clock import now
from deployments.states import RunState
from portal.accounts.access import may
from portal.accounts.roles import Role
from portal.checklists.models import Item, Phase, Project
from portal.checklists.selectors import State, item_page, load, page_of
from portal.checklists.selectors.board import DAYS, headline, held_back, needs_you, note
from portal.checklists.selectors.phase import card, current
from portal.checklists.selectors.status import components, source_rows
from portal.views import deploy, remedies
from portal.views.board import STATUS_DAYS, head_context
from portal.words import QUIET

#: what a role must have to hear of a kind of topic
_NEEDS = {
    "item": "checklists.view_board",
    "phase": "checklists.view_board",
    "source": "checklists.view_board",
    "component": "checklists.view_board",
    "run": "deployments.view_run",
    "runs": "deployments.view_run",
    "plan": "deployments.make_plan",
}


def allowed(topic: str, role: Role) -> bool:
    """Whether a role may hear of a topic."""
    permission = _NEEDS.get(topic.partition(":")[0])
    return permission is not None and may(role, permission)


def render(topic: str, role: Role) -> list[str]:
    """The fragments of one topic for one role."""
    return render_all([topic], role).get(topic, [])


def render_all(topics: Iterable[str], role: Role) -> dict[str, list[str]]:
    """The fragments of topics that changed together: what they share is read once."""
    batch = Batch(role, now())
    return {topic: batch.render(topic) for topic in topics if allowed(topic, role)}


def falls_due(topics: Collection[str]) -> dict[str, datetime]:
    """When the rows of these topics turn stale by the clock alone; topics that never do are left out."""
    batch = Batch(Role.VIEWER, now())
    found = {}
    for topic in topics:
        at = batch.due(topic)
        if at is not None:
            found[topic] = at
    return found


def partial(target: str, html: str, swap: str = "outerMorph") -> str:
    """One fragment for htmx: which element it replaces, and how."""
    return format_html('<hx-partial hx-target="#{}" hx-swap="{}">{}</hx-partial>', target, swap, mark_safe(html))  # noqa: S308


def _html(template: str, **context: Any) -> str:
    return render_to_string(f"parts/{template}.html", context)


@dataclass(slots=True)
class Batch:
    """Topics rendered together at one moment. Loads a project at most once."""

    role: Role
    at: datetime
    _states: dict[int, State] = field(default_factory=dict)

    def render(self, topic: str) -> list[str]:
        """The fragments of one topic."""
        kind, _, name = topic.partition(":")
        draw: Callable[[str], list[str]] | None = {
            "item": self._item,
            "phase": self._phase,
            "source": self._source,
            "component": self._component,
            "run": self._run,
            "runs": self._runs,
            "plan": self._plan,
        }.get(kind)
        return draw(name) if draw is not None else []

    def due(self, topic: str) -> datetime | None:
        """When the topic's rows turn stale by the clock."""
        kind, _, name = topic.partition(":")
        if kind == "item" and name.isdecimal():
            found = Item.objects.filter(pk=int(name), retired=False).values_list("project_id", flat=True).first()
            row = self.state(found).rows.get(int(name)) if found is not None else None
            return row.falls_due if row is not None else None
        if kind == "phase" and name.isdecimal():
            return self._phase_due(int(name))
        if kind == "source":
            return next((row.falls_due for row in self._sources(name)), None)
        if kind == "component" and name.isdecimal():
            return next((row.falls_due for row in self._components(int(name), 1)), None)
        return None

    def state(self, project_id: int) -> State:
        """The project as it stands, loaded once a batch."""
        if project_id not in self._states:
            self._states[project_id] = load(Project.objects.get(pk=project_id), self.at)
        return self._states[project_id]

    # -- items and phases --------------------------------------------------------------------------------------

    def _item(self, name: str) -> list[str]:
        item = Item.objects.select_related("project", "phase").filter(pk=_number(name), retired=False).first()
        if item is None:
            return []
        page = item_page(item, self.at)
        row = page.row
        drawn = {
            f"item-{row.id}": _html("item_row", row=row, quiet=QUIET),
            f"hold-{row.id}": _html("hold_row", row=row),
            f"item-head-{row.id}": _html("item_head", row=row, **head_context(row)),
            f"item-checks-{row.id}": _html("checks", page=page),
            f"item-facts-{row.id}": _html("item_facts", page=page),
            f"item-history-{row.id}": _html("history", page=page, newest_first=page.history[::-1]),
            f"item-diagnosis-{row.id}": _html("diagnosis", row=row, diagnosis=remedies.diagnosis(page)),
            f"item-remedies-{row.id}": _html("remedies", page=page, remedies=remedies.options(page, self.role)),
        }
        return [partial(target, html) for target, html in drawn.items()]

    def _phase(self, name: str) -> list[str]:
        phase = Phase.objects.filter(pk=_number(name)).first()
        if phase is None:
            return []
        state = self.state(phase.project_id)
        here = current(state)
        cards = [card(state, each, here) for each in state.phases]
        own = next(each for each in cards if each.id == phase.pk)
        page = page_of(state, phase.pk)
        drawn = self._board(state, cards) | {
            f"phase-tile-{own.id}": _html("phase_tile", phase=own),
            f"phase-bar-{own.id}": _html("phase_bar", phase=own),
            f"phase-chip-{own.id}": _html("phase_chip", phase=own),
            f"phase-summary-{own.id}": _html("phase_summary", phase=own, gate=page.gate),
        }
        return [partial(target, html) for target, html in drawn.items()]

    def _board(self, state: State, cards: list[Any]) -> dict[str, str]:
        here = next((each for each in cards if each.current), None)
        held = held_back(state, here.id if here else None)
        shown = {"held_back": held, "held_back_note": note(state, held)}
        needs = [need for need in needs_you(state) if may(self.role, need.permission)]
        url = deploy.phase_url(here) if here else ""
        return {
            "headline": _html("headline", headline=headline(state, cards), headline_url=url),
            "holding": _html("holding", board=shown, headline_url=url),
            "needs-you": _html("needs_you", needs=needs, approvals=any(need.kind == "approval" for need in needs)),
        } | _running(state)

    def _phase_due(self, pk: int) -> datetime | None:
        project_id = Phase.objects.filter(pk=pk).values_list("project_id", flat=True).first()
        if project_id is None:
            return None
        rows = self.state(project_id).of_phase(pk)
        return min((row.falls_due for row in rows if row.falls_due), default=None)

    # -- sources and components --------------------------------------------------------------------------------

    def _sources(self, name: str) -> list[Any]:
        from monitoring.models import Source

        cluster, _, source = name.partition("/")
        rows = list(Source.objects.filter(cluster=cluster, name=source))
        return [row for row in source_rows(cluster, rows, self.at) if row.name == source] if rows else []

    def _source(self, name: str) -> list[str]:
        drawn = []
        for row in self._sources(name):
            drawn.append(partial(f"source-{row.name}", _html("source_tile", source=row)))
            drawn.append(partial(f"connection-{row.name}", _html("connection", source=row)))
        return drawn

    def _components(self, pk: int, days: int) -> Iterable[Any]:
        from monitoring.models import Component
        from monitoring.selectors import readings

        row = Component.objects.filter(pk=pk).first()
        if row is None:
            return ()
        read = readings(row.checks.values_list("pk", flat=True), self.at)
        return components(row.cluster, read, days, self.at, ids=[pk])

    def _component(self, name: str) -> list[str]:
        short, whole = self._components(_number(name), DAYS), self._components(_number(name), STATUS_DAYS)
        return [
            *(partial(f"component-{row.id}", _html("component_row", row=row)) for row in short),
            *(partial(f"status-{row.id}", _html("status_row", row=row)) for row in whole),
        ]

    # -- runs and plans ----------------------------------------------------------------------------------------

    def _run(self, name: str) -> list[str]:
        found = deploy.find_run(name)
        if found is None:
            return []
        context = deploy.run_context(found, self.role, self.at)
        drawn = {
            f"run-head-{found.pk}": _html("run_head", **context),
            f"run-evidence-{found.pk}": _html("run_evidence", **context),
            f"run-steps-{found.pk}": _html("run_steps", **context),
            f"run-actions-{found.pk}": _html("run_actions", **context),
            f"run-note-{found.pk}": _html("run_note", **context),
        }
        fragments = [partial(target, html) for target, html in drawn.items()]
        tail = deploy.log_tail(found)
        fragments.append(partial("log-inbox", _html("log_groups", log=tail), "innerHTML"))
        return fragments + self._runs("")

    def _runs(self, _: str) -> list[str]:
        project = Project.objects.order_by("pk").first()
        if project is None:
            return []
        return [partial(target, html) for target, html in _running(self.state(project.pk)).items()]

    def _plan(self, name: str) -> list[str]:
        wish = deploy.wish_of(name)
        if wish is None:
            return []
        return [partial(f"plan-request-{wish['wish']['id']}", _html("plan_request_state", **wish))]


def _running(state: State) -> dict[str, str]:
    running = [run for run in state.runs if run.state != RunState.WAITING_FOR_APPROVAL]
    return {
        "running": _html("running", running=running),
        "nav-running": _html("nav_running", running_count=len(running)),
    }


def _number(name: str) -> int:
    return int(name) if name.isdecimal() and len(name) < 18 else 0
