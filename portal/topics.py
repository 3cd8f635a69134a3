"""The topics of the live stream: who may hear of one, and which views of a thing its announcement concerns.

What is announced is a thing (``item:7``); what a page asks for is a view of it (``item-page:7``). Draws nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from portal.accounts.access import may
from portal.accounts.roles import Role

#: what a role must have to hear of a kind of topic
_NEEDS = {
    "item": "checklists.view_board",
    "item-page": "checklists.view_board",
    "hold": "checklists.view_board",
    "board": "checklists.view_board",
    "headline": "checklists.view_board",
    "phase": "checklists.view_board",
    "phase-bar": "checklists.view_board",
    "phase-tile": "checklists.view_board",
    "source": "checklists.view_board",
    "connection": "checklists.view_board",
    "component": "checklists.view_board",
    "status": "checklists.view_board",
    "status-head": "checklists.view_board",
    "sources-head": "checklists.view_board",
    "firing": "checklists.view_board",
    "run": "deployments.view_run",
    "runs": "deployments.view_run",
    "run-row": "deployments.view_run",
    "runs-head": "deployments.view_run",
    "running": "deployments.view_run",
    "plan": "deployments.make_plan",
    "draft": "checklists.view_board",
    "decision": "checklists.view_board",
    "approval": "deployments.view_run",
    "approvals": "deployments.view_run",
    "holds": "checklists.view_board",
    "freezes": "checklists.view_board",
    "policy": "deployments.view_run",
}
#: the other views of what an announcement names: with its name (``hold:7``) or, after ``=``, of everything there is
_ALSO = {
    "item": ("item-page", "hold"),
    "phase": ("phase-bar", "phase-tile", "=board", "=headline"),
    "source": ("connection", "=sources-head"),
    "component": ("status", "=status-head", "=firing"),
    "run": ("approval", "run-row", "=runs", "=runs-head", "=running"),
    "runs": ("=runs-head", "=running", "=board", "=approvals"),
    "holds": ("=freezes", *(f"=freezes:{tier}" for tier in range(4)), "=policy"),
}


def spread(topics: Iterable[str]) -> set[str]:
    """The announced topics and every other view of the same things."""
    found = set(topics)
    for topic in tuple(found):
        kind, _, name = topic.partition(":")
        found.update(other[1:] if other[0] == "=" else f"{other}:{name}" for other in _ALSO.get(kind, ()))
    return found


def allowed(topic: str, role: Role) -> bool:
    """Whether a role may hear of a topic."""
    permission = _NEEDS.get(topic.partition(":")[0])
    return permission is not None and may(role, permission)
