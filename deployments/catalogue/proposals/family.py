"""The Git family: proposals on GitHub, and the named conditions of their steps."""

from __future__ import annotations

from deployments.catalogue.action import Action
from deployments.catalogue.proposals import propose, seeing, withdraw
from deployments.catalogue.seen import Predicate

ACTIONS: tuple[Action, ...] = (propose.ACTION, withdraw.ACTION)

CONDITIONS: dict[str, Predicate] = {
    "github_branch_there": Predicate(seeing.branch_needs, seeing.branch_there),
    "github_branch_gone": Predicate(seeing.branch_needs, seeing.branch_gone),
    "github_file_is": Predicate(seeing.file_needs, seeing.file_is),
    "github_pull_open": Predicate(seeing.pull_needs, seeing.pull_open),
    "github_pull_closed": Predicate(seeing.closed_needs, seeing.pull_closed),
}
