"""*Propose in Git*: a change of Helm values as a pull request on GitHub, over the file as it is there.

Three requests, each found again by what GitHub shows: a branch of the portal's own whose name is made of the change, a
commit that GitHub accepts only while the file is the one that was read, a pull request. The file's text is in no plan
and no record, because it may hold credentials: a plan has Git's own hashes of it before and after. Nothing is merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote

import msgspec

from deployments.catalogue import texts
from deployments.catalogue.action import (
    Action,
    Blast,
    Call,
    CannotPlan,
    Condition,
    FileEdit,
    HeadOf,
    PlanDraft,
    Precondition,
    Shown,
    StepSpec,
    Verification,
)
from deployments.catalogue.argo import calls, credentials, git_file, helm, targets, values
from deployments.catalogue.argo.git_patch import words
from deployments.catalogue.argo.set_values import not_overridden
from deployments.catalogue.argo.values import Edit
from deployments.catalogue.proposals import asking, changing, hub, placing
from deployments.catalogue.proposals.changing import Change
from deployments.catalogue.proposals.placing import Place
from integrations.kubernetes.custom import Application
from monitoring.checks.text import clean, count
from monitoring.snapshot import Missing, Need, Objects, Snapshot

SLUG = "propose-in-git"
_UNDO = "Withdraw it (action withdraw-proposal): the pull request is closed and its branch deleted, nothing is merged."


class ProposeParams(targets.ApplicationParams, frozen=True, kw_only=True):
    """Which Application, which values, in which file, and why."""

    values: Annotated[
        str,
        msgspec.Meta(
            min_length=1,
            max_length=20000,
            description="path=value, commas between; path- takes one out; a dot in a key is \\.",
        ),
    ]
    file: Annotated[
        str,
        msgspec.Meta(max_length=300, description="File in Git that says its values (empty: found in the repository)"),
    ] = ""
    why: Annotated[str, msgspec.Meta(max_length=500, description="Why, for whoever reviews the pull request")] = ""

    def __post_init__(self) -> None:
        with texts.named("values"):
            secret = values.credential(values.parse(self.values))
        if secret:
            raise texts.Refused("values", f"{secret} would put a credential into Git; refer to a Secret instead")
        if credentials.looks_like_one(self.why):
            raise texts.Refused("why", "why must not hold a credential")
        if self.file and not git_file.is_file(self.file):
            raise texts.Refused("file", "file is not the path of a YAML file inside a repository")


def needs(snapshot: Snapshot, params: ProposeParams) -> Iterable[Need]:
    """Applications; then what GitHub shows of repository, branch, file, and of an earlier proposal of the same."""
    yield Objects(calls.APPLICATIONS)
    yield hub.CONNECTION
    with suppress(Missing, CannotPlan, ValueError):
        app = targets.find(snapshot, params)
        yield from placing.needs(snapshot, app, params.file)
        place = placing.find(snapshot, app, params.file)
        change = changing.changed(app, place, values.parse(params.values))
        yield hub.pulls(place.repository.name, change.branch)
        yield hub.ref(place.repository.name, change.branch)
        yield hub.compare(place.repository.name, place.base, change.branch)
        yield hub.contents(place.repository.name, place.file.path, change.branch)


def draft(snapshot: Snapshot, params: ProposeParams) -> PlanDraft:
    """Three requests to GitHub. :raises CannotPlan: one sentence. :raises Missing: no connection, or no answer."""
    app = targets.find(snapshot, params)
    hub.connected(snapshot)
    place = placing.find(snapshot, app, params.file)
    edits = values.parse(params.values)
    change = changing.changed(app, place, edits)
    shown = changing.difference(place, change)
    filled = ProposeParams(
        application=app.metadata.name,
        namespace=app.metadata.namespace,
        values=", ".join(map(str, edits)),
        file=place.file.path,
        why=" ".join(params.why.split()),
    )
    applied = placing.applied_by(app, snapshot.objects(calls.APPLICATIONS), place)
    proposal = _Proposal(app, place, change, shown.diff, edits, filled, applied)
    return PlanDraft(
        params=msgspec.to_builtins(filled),
        preconditions=tuple(_preconditions(snapshot, app, place, change, edits, shown.size)),
        steps=(_branch(proposal), _commit(proposal), _pull(proposal)),
        verification=Verification((), 0, 0),
        undo=_UNDO,
        blast=Blast(
            created=(f"Branch {change.branch}", f"Pull request into {place.base}"),
            changed=(f"File {place.file.path} on that branch",),
            sentence=(
                f"Nothing in the cluster changes, nor on branch {place.base}: {shown.size} of "
                "one file wait for people to review and merge them."
            ),
        ),
        managed_by=applied,
        git_patch=shown.patch,
    )


# -- what must hold


def _preconditions(
    snapshot: Snapshot, app: Application, place: Place, change: Change, edits: tuple[Edit, ...], size: str
) -> Iterable[Precondition]:
    yield targets.alive(app)
    yield _may_write(snapshot, place)
    sha = place.file.sha[:10]
    holds = f"holds Application {app.metadata.name}" if place.application else f"holds values of {app.metadata.name}"
    yield Precondition(
        f"{place.file.path} is on branch {place.base}", True, f"{place.repository.name}, blob {sha}, {holds}"
    )
    yield Precondition("The change applies to the file as it is there", True, f"{size}, nothing else")
    located = helm.located(app)
    if located is not None:
        yield not_overridden(located, edits)
    yield _not_proposed(snapshot, place, change)
    yield _branch_free(snapshot, place, change)


def _may_write(snapshot: Snapshot, place: Place) -> Precondition:
    sentence = "The token may write to the repository"
    repository = place.repository
    if repository.archived:
        return Precondition(sentence, False, f"{repository.name} is archived: nobody may")
    if hub.connected(snapshot).installation:
        # GitHub reports a user's rights; of an app's token it says nothing true
        return Precondition(sentence, True, "an app's token: GitHub says so only when it is used")
    if repository.push:
        return Precondition(sentence, True, f"GitHub says push on {repository.name}")
    said = "no push" if repository.push is False else "nothing about it"
    needed = "give the token Contents and Pull requests, read and write"
    return Precondition(sentence, False, f"GitHub says {said} on {repository.name}: {needed}")


def _not_proposed(snapshot: Snapshot, place: Place, change: Change) -> Precondition:
    found = [each for each in hub.read_pulls(snapshot, place.repository.name, change.branch) if each.state == "open"]
    evidence = "; ".join(f"#{each.number} by {clean(each.by, 60)} is open: review that one" for each in found[:2])
    return Precondition("No pull request proposes this already", not found, evidence or "none is open")


def _branch_free(snapshot: Snapshot, place: Place, change: Change) -> Precondition:
    """Not there; or left by a run that ended before its pull request: then it holds this change, or nothing."""
    sentence = f"Branch {change.branch} is free for it"
    name = place.repository.name
    if not hub.read_ref(snapshot, name, change.branch):
        return Precondition(sentence, True, "not there yet")
    ahead = hub.read_ahead(snapshot, name, place.base, change.branch)
    files = ahead.files if ahead is not None else {}
    if ahead is not None and ahead.commits == 1 and files == {place.file.path: change.blob}:
        return Precondition(sentence, True, "left by an earlier run, with this change and nothing else")
    if ahead is not None and ahead.commits == 0 and not files and _untouched(snapshot, place, change):
        return Precondition(sentence, True, "left by an earlier run, without a commit")
    return Precondition(sentence, False, f"it is there with other commits: delete it in {name} first")


def _untouched(snapshot: Snapshot, place: Place, change: Change) -> bool:
    """Whether the file on that branch is the one to change; the branch may stand at an older point of its base."""
    with suppress(ValueError):
        there = hub.read_content(snapshot, place.repository.name, place.file.path, change.branch)
        return there is not None and there.sha == place.file.sha
    return False


# -- steps


class _Proposal(NamedTuple):
    """What the three steps are made of."""

    app: Application
    place: Place
    change: Change
    diff: str
    edits: Sequence[Edit]
    params: ProposeParams
    applied: str

    @property
    def repository(self) -> str:
        return self.place.repository.name

    @property
    def where(self) -> dict[str, str]:
        return {"repository": self.repository, "branch": self.change.branch}

    def step(self, kind: str) -> partial[StepSpec]:
        return asking.step(kind, self.repository, self.change.branch)


def _branch(it: _Proposal) -> StepSpec:
    there = Condition("github_branch_there", it.where)
    return it.step("Branch")(
        verb="branch",
        title=f"Create branch {it.change.branch} from {it.place.base}",
        effect=Call(
            service="github",
            method="POST",
            path=f"/repos/{it.repository}/git/refs",
            made=there,
            body={"ref": f"refs/heads/{it.change.branch}"},
            shown=(Shown("branch", None, it.change.branch), Shown("from", None, it.place.base)),
            prepared=HeadOf(it.repository, it.place.base),
        ),
        until=there,
    )


def _commit(it: _Proposal) -> StepSpec:
    file = it.place.file
    written = Condition("github_file_is", {**it.where, "path": file.path, "blob": it.change.blob})
    return it.step("Commit")(
        verb="commit",
        title=f"Commit the change of {file.path} to that branch",
        effect=Call(
            service="github",
            method="PUT",
            path=f"/repos/{it.repository}/contents/{quote(file.path)}",
            made=written,
            body={
                "message": f"{_title(it)}\n\nProposed by ${{run.user}} with Phaseboard, run ${{run.mark}}.",
                "branch": it.change.branch,
                # GitHub accepts the commit only while the file is this one
                "sha": file.sha,
            },
            prepared=FileEdit(
                repository=it.repository,
                path=file.path,
                before=file.sha,
                after=it.change.blob,
                application=it.place.application,
                namespace=it.app.metadata.namespace,
                values=it.params.values,
                diff=it.diff,
            ),
        ),
        until=written,
    )


def _pull(it: _Proposal) -> StepSpec:
    opened = Condition("github_pull_open", {**it.where, "base": it.place.base, "mark": "${run.mark}"})
    title = _title(it)
    return it.step("PullRequest")(
        verb="propose",
        title=f"Open the pull request into {it.place.base}",
        effect=Call(
            service="github",
            method="POST",
            path=f"/repos/{it.repository}/pulls",
            made=opened,
            body={"title": title, "head": it.change.branch, "base": it.place.base, "body": _body(it)},
            shown=(Shown("pull request.title", None, title), Shown("pull request.into", None, it.place.base)),
        ),
        until=opened,
    )


def _title(it: _Proposal) -> str:
    """One line, as a commit's first line is read."""
    names = [edit.name for edit in it.edits]
    said = f"{it.app.metadata.name}: {'take out' if it.edits[0].remove else 'set'} {names[0]}"
    return clean(f"{said} and {count(len(names) - 1, 'other value')}" if len(names) > 1 else said, 120)


def _body(it: _Proposal) -> str:
    """Markdown. What people or the cluster wrote stands in code, where it is neither a mention nor markup."""
    why = it.params.why
    lines = [
        f"Helm values of Argo CD Application `{it.app.metadata.name}`, in `{it.place.file.path}`:",
        "",
        *(f"- {_code(words([edit]))}" for edit in it.edits),
        "",
        *([f"Why: {_code(why)}", ""] if why else []),
        it.applied,
        "",
        "Proposed by `${run.user}` with Phaseboard, run `${run.mark}`.",
    ]
    return "\n".join(lines)


def _code(text: str) -> str:
    plain = clean(text, 2000).replace("`", "'")
    return f"`{plain}`"


ACTION = Action(
    slug=SLUG,
    title="Propose in Git",
    family="Git",
    tier=1,
    summary="Open a pull request on GitHub that changes Helm values of an Application where they are written. People "
    "merge it.",
    params=ProposeParams,
    needs=needs,
    draft=draft,
    rules=(),
    undo=_UNDO,
    guards=(
        "The repository is on the connected GitHub, and the token may write to it",
        "The file holds the Application (or is its values), and the change touches nothing else of it",
        "No Helm parameter wins over the values",
        "No open pull request proposes the same, and its branch holds nothing else",
        "No credential is proposed, shown or stored",
        "The file is still the one that was read: else GitHub refuses the commit",
    ),
    verified_by="GitHub shows the pull request open, at the commit of its branch, with the file as the plan shows it.",
    reference="https://docs.github.com/en/rest/pulls/pulls",
)


def request_of(change: Any, why: str) -> dict[str, str]:
    """The parameters that propose what another plan changes. ``change``: its ``GitChange``."""
    return {
        "application": change.application,
        "namespace": change.namespace,
        "values": change.values,
        "file": change.file,
        "why": why,
    }
