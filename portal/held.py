"""The live parts about runs as a list: which are at work, what holds them back (stop, glass, freezes), who decides.

One function a kind of topic (:mod:`portal.topics`): the topic's name, the role that looks and the moment become HTML by
the id of the element it replaces.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from portal.accounts.access import may
from portal.accounts.roles import Role
from portal.templatetags.drawn import part_html as _html
from portal.views import approvalview, holding, running


def _approval(name: str, _: Role, at: datetime) -> dict[str, str]:
    found = running.find_run(name)
    if found is None:
        return {}
    return {f"approval-{found.pk}": _html("approval_state", approval=approvalview.of_run(found, at))}


def _approvals(_: str, role: Role, at: datetime) -> dict[str, str]:
    waiting = approvalview.waiting(at)
    may_decide = may(role, "deployments.approve_plan")
    return {
        "approvals-head": _html("approvals_head", waiting=waiting),
        "approvals-list": _html("approvals_list", waiting=waiting, may_decide=may_decide),
    }


def _holds(_: str, __: Role, at: datetime) -> dict[str, str]:
    return {"holds": _html("holds", **holding.read().shown(at)["holds"])}


def _freezes(name: str, _: Role, at: datetime) -> dict[str, str]:
    """Those of one tier where a page shows one plan (``freezes:2``), else all."""
    tier = int(name) if name in ("0", "1", "2", "3") else None
    return {"freezes": _html("freezes", **holding.read().shown(at, tier))}


def _run_row(name: str, _: Role, __: datetime) -> dict[str, str]:
    found = running.find_run(name)
    return {f"run-row-{found.pk}": _html("run_row", run=running.row_of(found))} if found is not None else {}


def _runs_head(_: str, __: Role, ___: datetime) -> dict[str, str]:
    return {"runs-head": _html("runs_head", active=running.at_work())}


def _policy(_: str, __: Role, at: datetime) -> dict[str, str]:
    return {"policy-head": _html("policy_head", **holding.read().shown(at))}


DRAW: dict[str, Callable[[str, Role, datetime], dict[str, str]]] = {
    "approval": _approval,
    "approvals": _approvals,
    "holds": _holds,
    "freezes": _freezes,
    "policy": _policy,
    "run-row": _run_row,
    "runs-head": _runs_head,
}
