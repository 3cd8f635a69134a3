"""The live rows: a topic becomes the fragments that an open page morphs in (design §7).

The same templates as the pages, rendered once per (topic, role) for everybody: nothing here depends on the person, and
no form token is in it. Knows no Redis and no stream; an unknown topic or a missing row gives nothing.

What is announced is a thing (``item:7``); what a page asks for is a view of it: a page that shows only its row asks for
``item:7``, its own page for ``item-page:7``. :mod:`portal.topics` says which views an announcement concerns, so that
nothing is drawn for pages that do not show it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.conf import settings
from django.utils.html import format_html
from django.utils.safestring import mark_safe

from common.clock import now
from deployments.states import RunState
from monitoring.models import Component, Source
from monitoring.selectors import STALE, Reading
from portal import held
from portal.accounts.access import may
from portal.accounts.roles import Role
from portal.checklists import choices
from portal.checklists.models import Item, Phase, Project
from portal.checklists.selectors import State, fetch, item_page, load, page_of
from portal.checklists.selectors.board import DAYS, headline, held_back, needs_you, note
from portal.checklists.selectors.phase import card, current
from portal.checklists.selectors.shapes import ComponentRow, ItemRow, PhaseCard, RunRow, SourceRow
from portal.checklists.selectors.status import (
    answering,
    component_facts,
    components,
    components_headline,
    source_rows,
)
from portal.templatetags.drawn import drawn
from portal.templatetags.drawn import part_html as _html
from portal.topics import allowed, spread
from portal.views import approvalview, decisions, deploy, firing, holding, planpage, remedies, reports, running
from portal.views.board import STATUS_DAYS, head_context, merged

__all__ = ["allowed", "falls_due", "render", "render_all", "spread"]


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


#: characters of a plan's hash
_HASH = 64
#: how a target is swapped that is not morphed into what it was
_SWAPS = {"log-inbox": "innerHTML"}


@dataclass(slots=True)
class Batch:
    """Topics rendered together at one moment. Loads a project at most once."""

    role: Role
    at: datetime
    _states: dict[int, State] = field(default_factory=dict)
    _bound: dict[int, list[tuple[str, int]]] = field(default_factory=dict)
    #: the id of the project that the overview shows; 0: there is none
    _first: int | None = None
    _frozen: tuple[datetime | None] | None = None

    def render(self, topic: str) -> list[str]:
        """The fragments of one topic."""
        kind, _, name = topic.partition(":")
        draw: Callable[[str], dict[str, str]] | None = {
            "item": self._item,
            "item-page": self._item_page,
            "hold": self._hold,
            "board": self._board,
            "headline": self._headline,
            "phase": self._phase,
            "phase-bar": self._phase_bar,
            "phase-tile": self._phase_tile,
            "source": self._source,
            "connection": self._connection,
            "component": self._component,
            "status": self._status,
            "status-head": self._status_head,
            "sources-head": self._sources_head,
            "firing": self._firing,
            "run": self._run,
            "runs": self._runs,
            "running": self._running,
            "plan": self._plan,
            "draft": self._draft,
            "decision": self._decision,
        }.get(kind)
        held_draw = held.DRAW.get(kind)
        drawn = held_draw(name, self.role, self.at) if held_draw else draw(name) if draw else {}
        return [partial(target, html, _SWAPS.get(target, "outerMorph")) for target, html in drawn.items()]

    def due(self, topic: str) -> datetime | None:
        """When the topic's rows turn stale by the clock."""
        kind, _, name = topic.partition(":")
        if kind in ("item", "item-page", "hold"):
            row = self._row(name)
            return row.falls_due if row is not None else None
        if kind in ("phase", "phase-bar", "phase-tile"):
            return self._phase_due(_number(name))
        if kind in ("board", "headline"):
            return self._board_due()
        if kind in ("source", "connection"):
            return next((row.falls_due for row in self._sources(name)), None)
        if kind in ("component", "status"):
            return self._component_due(_number(name))
        if kind == "firing":
            found = firing.reading_of(self.readings(settings.PORTAL_CLUSTER).values())
            return found.stale_at if found is not None and found.word != STALE else None
        if kind == "status-head":
            ahead = map(self._component_due, Component.objects.values_list("pk", flat=True))
            return min(filter(None, ahead), default=None)
        if kind == "sources-head":
            return min((row.falls_due for row in self._every_source() if row.falls_due), default=None)
        if kind in ("freezes", "approvals", "approval", "policy"):
            return self._freeze_change()
        return None

    def state(self, project_id: int) -> State:
        """The project as it stands, loaded once a batch."""
        if project_id not in self._states:
            self._states[project_id] = load(Project.objects.get(pk=project_id), self.at)
        return self._states[project_id]

    def readings(self, cluster: str) -> Mapping[int, Reading]:
        """What every check of a cluster reads."""
        state = self._shown()
        if state is not None and state.project.cluster == cluster:
            return state.readings
        return fetch.readings(cluster, self.at).by_check

    # -- items -------------------------------------------------------------------------------------------------

    def _row(self, name: str) -> ItemRow | None:
        """An item's row; None for a retired or unknown one."""
        pk = _number(name)
        shown = self._shown()
        if shown is not None and pk in shown.rows:
            return shown.rows[pk]
        project_id = Item.objects.filter(pk=pk, retired=False).values_list("project_id", flat=True).first()
        return self.state(project_id).rows.get(pk) if project_id is not None else None

    def _item(self, name: str) -> dict[str, str]:
        row = self._row(name)
        return {f"item-{row.id}": drawn("item_row", row)} if row is not None else {}

    def _hold(self, name: str) -> dict[str, str]:
        row = self._row(name)
        return {f"hold-{row.id}": drawn("hold_row", row)} if row is not None else {}

    def _item_page(self, name: str) -> dict[str, str]:
        item = Item.objects.select_related("project", "phase").filter(pk=_number(name), retired=False).first()
        if item is None:
            return {}
        page = item_page(item, self.at)
        row = page.row
        return {
            f"item-head-{row.id}": _html("item_head", row=row, **head_context(row)),
            f"item-follow-{row.id}": _html("item_unfollowed", page=page),
            f"item-checks-{row.id}": _html("checks", page=page),
            f"item-facts-{row.id}": _html("item_facts", page=page),
            f"item-history-{row.id}": _html("history", page=page, newest_first=merged(page.history)),
            f"item-diagnosis-{row.id}": _html("diagnosis", row=row, diagnosis=remedies.diagnosis(page)),
            f"item-remedies-{row.id}": _html(
                "remedies", page=page, remedies=remedies.options(page, self.role), decision=choices.about(row.key)
            ),
        }

    # -- phases and the board ----------------------------------------------------------------------------------

    def _card(self, name: str) -> tuple[State, PhaseCard] | None:
        """A phase's numbers, with the project they come from."""
        phase = Phase.objects.filter(pk=_number(name)).first()
        if phase is None:
            return None
        state = self.state(phase.project_id)
        own = next((each for each in state.phases if each.pk == phase.pk), None)
        return (state, card(state, own, current(state))) if own is not None else None

    def _phase(self, name: str) -> dict[str, str]:
        found = self._card(name)
        if found is None:
            return {}
        state, own = found
        return {
            f"phase-chip-{own.id}": _html("phase_chip", phase=own),
            f"phase-summary-{own.id}": _html("phase_summary", phase=own, gate=page_of(state, own.id).gate),
        }

    def _phase_bar(self, name: str) -> dict[str, str]:
        found = self._card(name)
        if found is None:
            return {}
        own = found[1]
        return {
            f"phase-chip-{own.id}": _html("phase_chip", phase=own),
            f"phase-bar-{own.id}": _html("phase_bar", phase=own),
        }

    def _phase_tile(self, name: str) -> dict[str, str]:
        found = self._card(name)
        return {f"phase-tile-{found[1].id}": _html("phase_tile", phase=found[1])} if found is not None else {}

    def _board(self, _: str) -> dict[str, str]:
        state = self._shown()
        if state is None:
            return {}
        held = held_back(state, current(state))
        shown = {"held_back": held, "held_back_note": note(state, held)}
        needs = [need for need in needs_you(state) if may(self.role, need.permission)]
        return {
            "holding": _html("holding", board=shown, headline_url=self._current_url(state)),
            "needs-you": _html("needs_you", needs=needs, approvals=any(need.kind == "approval" for need in needs)),
        }

    def _headline(self, _: str) -> dict[str, str]:
        state = self._shown()
        if state is None:
            return {}
        at = current(state)
        said = headline(state, [card(state, each, at) for each in state.phases])
        return {"headline": _html("headline", headline=said, headline_url=self._current_url(state))}

    @staticmethod
    def _current_url(state: State) -> str:
        here = next((phase for phase in state.phases if phase.pk == current(state)), None)
        return deploy.phase_url(here) if here else ""

    def _shown(self) -> State | None:
        """The project that the overview shows."""
        if self._first is None:
            self._first = Project.objects.order_by("pk").values_list("pk", flat=True).first() or 0
        return self.state(self._first) if self._first else None

    def _phase_due(self, pk: int) -> datetime | None:
        shown = self._shown()
        if shown is None or all(phase.pk != pk for phase in shown.phases):
            project_id = Phase.objects.filter(pk=pk).values_list("project_id", flat=True).first()
            shown = self.state(project_id) if project_id is not None else None
        rows = shown.of_phase(pk) if shown is not None else []
        return min((row.falls_due for row in rows if row.falls_due), default=None)

    def _board_due(self) -> datetime | None:
        state = self._shown()
        rows = state.rows.values() if state is not None else ()
        return min((row.falls_due for row in rows if row.falls_due), default=None)

    # -- sources and components --------------------------------------------------------------------------------

    def _sources(self, name: str) -> list[SourceRow]:
        cluster, _, source = name.partition("/")
        rows = list(Source.objects.filter(cluster=cluster, name=source))
        return [row for row in source_rows(cluster, rows, self.at) if row.name == source] if rows else []

    def _source(self, name: str) -> dict[str, str]:
        return {f"source-{row.name}": _html("source_tile", source=row) for row in self._sources(name)}

    def _connection(self, name: str) -> dict[str, str]:
        return {f"connection-{row.name}": _html("connection", source=row) for row in self._sources(name)}

    def _components(self, pk: int, days: int) -> Iterable[ComponentRow]:
        cluster = Component.objects.filter(pk=pk).values_list("cluster", flat=True).first()
        if cluster is None:
            return ()
        return components(component_facts(cluster, days, self.at, [pk]), self.readings(cluster), days, self.at)

    def _component_due(self, pk: int) -> datetime | None:
        if not self._bound:
            for component, cluster, check in Component.objects.values_list("pk", "cluster", "checks"):
                self._bound.setdefault(component, []).append((cluster, check))
        read = [self.readings(cluster).get(check) for cluster, check in self._bound.get(pk, ())]
        ahead = [each.stale_at for each in read if each and each.stale_at and each.word != STALE]
        return min(ahead, default=None)

    def _component(self, name: str) -> dict[str, str]:
        found = self._components(_number(name), DAYS)
        return {f"component-{row.id}": drawn("component_row", row) for row in found}

    def _status(self, name: str) -> dict[str, str]:
        found = self._components(_number(name), STATUS_DAYS)
        return {f"status-{row.id}": drawn("status_row", row) for row in found}

    def _status_head(self, _: str) -> dict[str, str]:
        """The days of the strips are left out: no word depends on them."""
        cluster = settings.PORTAL_CLUSTER
        rows = components(component_facts(cluster, 1, self.at), self.readings(cluster), 1, self.at)
        return {"headline": _html("headline", headline=components_headline(rows))}

    def _sources_head(self, _: str) -> dict[str, str]:
        return {"sources-head": _html("sources_head", headline=answering(self._every_source()))}

    def _every_source(self) -> Sequence[SourceRow]:
        cluster = settings.PORTAL_CLUSTER
        return source_rows(cluster, list(Source.objects.filter(cluster=cluster)), self.at)

    def _firing(self, _: str) -> dict[str, str]:
        return {"firing": _html("firing", **firing.context(self.readings(settings.PORTAL_CLUSTER).values()))}

    # -- runs and plans ----------------------------------------------------------------------------------------

    def _run(self, name: str) -> dict[str, str]:
        found = running.find_run(name)
        if found is None:
            return {}
        context = running.run_context(found, self.role, self.at)
        return {
            f"run-head-{found.pk}": _html("run_head", **context),
            f"run-follow-{found.pk}": _html("run_unfollowed", **context),
            f"run-evidence-{found.pk}": _html("run_evidence", **context),
            f"run-steps-{found.pk}": _html("run_steps", **context),
            f"run-actions-{found.pk}": _html("run_actions", **context),
            f"run-note-{found.pk}": _html("run_note", **context),
            "log-inbox": _html("log_groups", log=running.log_tail(found)),
        }

    def _at_work(self) -> list[RunRow]:
        state = self._shown()
        runs = state.runs if state is not None else []
        return [run for run in runs if run.state != RunState.WAITING_FOR_APPROVAL]

    def _runs(self, _: str) -> dict[str, str]:
        shown = {"nav-running": _html("nav_running", running_count=len(self._at_work()))}
        if may(self.role, "deployments.approve_plan"):
            shown["nav-approvals"] = _html("nav_approvals", approvals_count=approvalview.count())
        return shown

    def _running(self, _: str) -> dict[str, str]:
        return {"running": _html("running", running=self._at_work())}

    def _freeze_change(self) -> datetime | None:
        """When a freeze begins or ends next, asked once a batch."""
        if self._frozen is None:
            self._frozen = (holding.changes_at(self.at),)
        return self._frozen[0]

    def _plan(self, name: str) -> dict[str, str]:
        """A request by its ulid, or a plan by its hash."""
        fit = planpage.fit_context(name) if len(name) == _HASH else None
        if fit is not None:
            short = fit["plan"].short
            return {
                f"plan-fit-{short}": _html("plan_fit", **fit),
                f"plan-moved-{short}": _html("plan_moved", **fit),
                f"plan-pre-{short}": _html("plan_preconditions", **fit),
            }
        wish = deploy.wish_of(name)
        if wish is None:
            return {}
        return {f"plan-request-{wish['wish']['id']}": _html("plan_request_state", **wish)}

    def _draft(self, name: str) -> dict[str, str]:
        found = reports.draft_context(_number(name))
        return {f"draft-{name}": _html("draft", **found)} if found is not None else {}

    def _decision(self, name: str) -> dict[str, str]:
        state = self._shown()
        found = decisions.open_context(Project.objects.get(pk=state.project.pk), name) if state is not None else None
        return {f"decision-{name}": _html("options", **found)} if found is not None else {}


def _number(name: str) -> int:
    return int(name) if name.isdecimal() and len(name) < 18 else 0
