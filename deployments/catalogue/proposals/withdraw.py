"""*Withdraw a proposal*: close a pull request of this portal's and delete its branch. Nothing of it is merged."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Annotated

import msgspec

from deployments.catalogue import texts
from deployments.catalogue.action import (
    Action,
    Blast,
    Call,
    CannotPlan,
    Condition,
    Params,
    PlanDraft,
    Precondition,
    Shown,
    StepSpec,
    Verification,
)
from deployments.catalogue.proposals import asking, hub
from deployments.catalogue.proposals.hub import Pull
from monitoring.checks.text import clean, count
from monitoring.snapshot import Missing, Need, Snapshot

SLUG = "withdraw-proposal"
_UNDO = "Propose it again (action propose-in-git): the same change makes the same branch anew."


class WithdrawParams(Params, frozen=True, kw_only=True):
    """Which pull request."""

    repository: Annotated[str, msgspec.Meta(max_length=201, description="Repository on GitHub, owner/name")]
    number: Annotated[int, msgspec.Meta(ge=1, le=999_999_999, description="Number of the pull request")]

    def __post_init__(self) -> None:
        if not hub.is_repository(self.repository):
            raise texts.Refused("repository", "repository is not owner/name")


def needs(snapshot: Snapshot, params: WithdrawParams) -> Iterable[Need]:
    """The pull request and its repository; then what its branch holds."""
    yield hub.CONNECTION
    yield hub.repository(params.repository)
    yield hub.pull(params.repository, params.number)
    with suppress(Missing, CannotPlan):
        pull = _pull(snapshot, params)
        yield hub.ref(params.repository, pull.head)
        yield hub.compare(params.repository, pull.base, pull.head)


def draft(snapshot: Snapshot, params: WithdrawParams) -> PlanDraft:
    """Two requests. :raises CannotPlan: there is no such pull request of the portal's. :raises Missing:"""
    hub.connected(snapshot)
    pull = _pull(snapshot, params)
    return PlanDraft(
        params=msgspec.to_builtins(params),
        preconditions=tuple(_preconditions(snapshot, params, pull)),
        steps=tuple(_steps(snapshot, params, pull)),
        verification=Verification((), 0, 0),
        undo=_UNDO,
        blast=Blast(
            changed=(f"Pull request #{pull.number}",),
            deleted=(f"Branch {pull.head}",),
            sentence=f"Nothing in the cluster changes, nor on branch {clean(pull.base, 80)}.",
        ),
    )


def _pull(snapshot: Snapshot, params: WithdrawParams) -> Pull:
    """:raises CannotPlan: not there, or not the portal's."""
    pull = hub.read_pull(snapshot, params.repository, params.number)
    if pull is None:
        raise CannotPlan(f"GitHub shows no pull request #{params.number} of {params.repository} to this token.")
    mine = pull.head.startswith(hub.PREFIX) and hub.is_branch(pull.head)
    if not mine or pull.head_repository.lower() != params.repository.lower():
        raise CannotPlan(
            f"Pull request #{pull.number} is not of this portal (branch {clean(pull.head, 80)}): close it on GitHub."
        )
    return pull


def _preconditions(snapshot: Snapshot, params: WithdrawParams, pull: Pull) -> Iterable[Precondition]:
    word = "merged" if pull.merged else pull.state
    undo = ": take the change back with another pull request" if pull.merged else ""
    yield Precondition(f"Pull request #{pull.number} is not merged", not pull.merged, f"it is {word}{undo}")
    repository = hub.read_repository(snapshot, params.repository)
    able = repository is not None and (repository.push or hub.connected(snapshot).installation)
    yield Precondition(
        "The token may write to the repository", bool(able), "GitHub says push" if able else "GitHub says no push"
    )
    yield _only_ours(snapshot, params, pull)


def _only_ours(snapshot: Snapshot, params: WithdrawParams, pull: Pull) -> Precondition:
    """The portal makes one commit; what people have added to it would be lost with the branch."""
    sentence = "Its branch holds nothing but the portal's commit"
    if not hub.read_ref(snapshot, params.repository, pull.head):
        return Precondition(sentence, True, "the branch is gone already")
    ahead = hub.read_ahead(snapshot, params.repository, pull.base, pull.head)
    if ahead is None:
        return Precondition(sentence, False, f"branch {clean(pull.base, 80)} is not there to compare with")
    evidence = f"{count(ahead.commits, 'commit')} beyond {clean(pull.base, 80)}"
    more = "" if ahead.commits <= 1 else ": people have added to it, so close it on GitHub"
    return Precondition(sentence, ahead.commits <= 1, evidence + more)


def _steps(snapshot: Snapshot, params: WithdrawParams, pull: Pull) -> Iterable[StepSpec]:
    name = params.repository
    if pull.state == "open":
        closed = Condition("github_pull_closed", {"repository": name, "number": pull.number})
        yield asking.step("PullRequest", name, pull.head)(
            verb="close",
            title=f"Close pull request #{pull.number}",
            effect=Call(
                service="github",
                method="PATCH",
                path=f"/repos/{name}/pulls/{pull.number}",
                made=closed,
                body={"state": "closed"},
                shown=(Shown("pull request.state", pull.state, "closed"),),
            ),
            until=closed,
        )
    if hub.read_ref(snapshot, name, pull.head):
        gone = Condition("github_branch_gone", {"repository": name, "branch": pull.head})
        yield asking.step("Branch", name, pull.head)(
            verb="delete",
            title=f"Delete branch {pull.head}",
            effect=Call(
                service="github",
                method="DELETE",
                path=f"/repos/{name}/git/refs/heads/{pull.head}",
                made=gone,
                shown=(Shown("branch", pull.head, None),),
            ),
            until=gone,
        )


ACTION = Action(
    slug=SLUG,
    title="Withdraw a proposal",
    family="Git",
    tier=1,
    summary="Close a pull request that this portal opened and delete its branch.",
    params=WithdrawParams,
    needs=needs,
    draft=draft,
    rules=(),
    undo=_UNDO,
    guards=(
        "The pull request is of this portal, by its branch, and not merged",
        "The branch holds nothing but the portal's one commit",
        "The token may write to the repository",
    ),
    verified_by="GitHub shows the pull request closed and the branch gone.",
    reference="https://docs.github.com/en/rest/pulls/pulls#update-a-pull-request",
)
