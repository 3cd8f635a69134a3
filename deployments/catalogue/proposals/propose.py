"""*Propose in Git*: a change of Helm values as a pull request on GitHub, over the file as it is there.

Three requests, each found again by what GitHub shows: a branch of the portal's own whose name is made of the change, a
commit that GitHub accepts only while the file is the one that was read, a pull request. The file's text is in no plan
and no record, because it may hold credentials: a plan has Git's own hashes of it before and after. Nothing is merged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote

import msgspec

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
from deployments.catalogue.argo import calls, credentials, git_edit, git_file, helm, hunks, targets, values
from deployments.catalogue.argo.git_patch import words
from deployments.catalogue.argo.set_values import not_overridden
from deployments.catalogue.argo.values import Edit
from deployments.catalogue.proposals import hub, placing
from deployments.catalogue.proposals.placing import Place
from integrations.kubernetes.custom import Application
from monitoring.checks.text import clean, count
from monitoring.snapshot import Missing, Need, Objects, Snapshot

SLUG = "propose-in-git"
_SECONDS = 120
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
        secret = values.credential(values.parse(self.values))
        if secret:
            raise ValueError(f"{secret} would put a credential into Git; refer to a Secret instead")
        if credentials.looks_like_one(self.why):
            raise ValueError("why must not hold a credential")
        if "${run." in self.values + self.why:
            raise ValueError("${run. is a placeholder of plans and cannot be proposed")
        if self.file and not git_file.is_file(self.file):
            raise ValueError("file is not the path of a YAML file inside a repository")


class _Change(NamedTuple):
    """The file after the change, Git's hash of it, and the branch it goes to."""

    text: str
    blob: str
    branch: str


class _Difference(NamedTuple):
    """The change for people: as a diff of the file, as a patch that ``git apply`` takes, and its size."""

    diff: str
    patch: str
    added: int
    removed: int

    @property
    def size(self) -> str:
        return f"+{self.added} −{self.removed} lines"


def needs(snapshot: Snapshot, params: ProposeParams) -> Iterable[Need]:
    """Applications; then what GitHub shows of repository, branch, file, and of an earlier proposal of the same."""
    yield Objects(calls.APPLICATIONS)
    yield hub.CONNECTION
    with suppress(Missing, CannotPlan, ValueError):
        app = targets.find(snapshot, params)
        yield from placing.needs(snapshot, app, params.file)
        place = placing.find(snapshot, app, params.file)
        change = _changed(app, place, values.parse(params.values))
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
    change = _changed(app, place, edits)
    shown = _difference(place, change)
    filled = ProposeParams(
        application=app.metadata.name,
        namespace=app.metadata.namespace,
        values=", ".join(map(str, edits)),
        file=place.file.path,
        why=" ".join(params.why.split()),
    )
    applied = placing.applied_by(app, snapshot.objects(calls.APPLICATIONS), place)
    return PlanDraft(
        params=msgspec.to_builtins(filled),
        preconditions=tuple(_preconditions(snapshot, app, place, change, edits, shown.size)),
        steps=tuple(_steps(app, place, change, shown.diff, edits, filled, applied)),
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


def _changed(app: Application, place: Place, edits: Sequence[Edit]) -> _Change:
    """:raises CannotPlan: the edits cannot be made in this file."""
    file, name = place.file, place.repository.name
    try:
        after = _edited(file.text, place.application, app.metadata.namespace, ", ".join(map(str, edits)))
        if after == file.text:
            raise ValueError("the values say so already; if the cluster does not, it has not been synced")
    except ValueError as error:
        raise _cannot(place, error) from None
    blob = git_edit.blob_sha(after)
    # of the change alone: the same change is the same branch, whoever proposes it and however often
    named = f"{name}\n{place.base}\n{file.path}\n{file.sha}\n{blob}"
    digest = hashlib.sha256(named.encode()).hexdigest()[:10]
    return _Change(after, blob, f"{hub.PREFIX}{app.metadata.name[:60].rstrip('-.')}-{digest}")


@lru_cache(maxsize=2)
def _edited(text: str, application: str, namespace: str, wanted: str) -> str:
    """Asked in every round of a plan's reading. :raises ValueError:"""
    return git_edit.changed(text, application, namespace, values.parse(wanted))


def _difference(place: Place, change: _Change) -> _Difference:
    """:raises CannotPlan: it cannot be shown without a credential."""
    try:
        found = hunks.between(_block(place.file.text), _block(change.text), findable=False)
    except ValueError as error:
        raise _cannot(place, error) from None
    lines = [line for hunk in found for line in hunks.shown(hunk)]
    diff = "\n".join([*hunks.heading(place.file.path), *lines]) + "\n"
    flag = ""
    with suppress(ValueError):
        flag = hunks.flag_of(found)
    header = f"Made of {place.file.path} on branch {place.base} of {place.repository.name}.\n"
    return _Difference(
        diff=diff,
        patch=f"{header}Apply it in a clone with: git apply{flag} <this file>\n\n{diff}",
        added=sum(line.startswith("+") for line in lines),
        removed=sum(line.startswith("-") for line in lines),
    )


def _cannot(place: Place, error: ValueError) -> CannotPlan:
    where = f"{place.file.path} in {place.repository.name}, branch {place.base}"
    return CannotPlan(f"{where}, cannot be changed here: {error}.")


def _block(text: str) -> hunks.Block:
    """The lines with those marked that hold a credential. :raises ValueError: the text cannot be read."""
    return hunks.Block(text.splitlines(), git_edit.credential_lines(text))


# -- what must hold


def _preconditions(
    snapshot: Snapshot, app: Application, place: Place, change: _Change, edits: tuple[Edit, ...], size: str
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


def _not_proposed(snapshot: Snapshot, place: Place, change: _Change) -> Precondition:
    found = [each for each in hub.read_pulls(snapshot, place.repository.name, change.branch) if each.state == "open"]
    evidence = "; ".join(f"#{each.number} by {clean(each.by, 60)} is open: review that one" for each in found[:2])
    return Precondition("No pull request proposes this already", not found, evidence or "none is open")


def _branch_free(snapshot: Snapshot, place: Place, change: _Change) -> Precondition:
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


def _untouched(snapshot: Snapshot, place: Place, change: _Change) -> bool:
    """Whether the file on that branch is the one to change; the branch may stand at an older point of its base."""
    with suppress(ValueError):
        there = hub.read_content(snapshot, place.repository.name, place.file.path, change.branch)
        return there is not None and there.sha == place.file.sha
    return False


# -- steps


def _steps(
    app: Application,
    place: Place,
    change: _Change,
    diff: str,
    edits: Sequence[Edit],
    params: ProposeParams,
    applied: str,
) -> Iterable[StepSpec]:
    name = place.repository.name
    # one run at a time for one change; the name is a target's, so it has no slashes
    target = f"{name}:{change.branch.removeprefix(hub.PREFIX)}".replace("/", ":")
    where = {"repository": name, "branch": change.branch}
    title = _title(app, edits)
    there = Condition("github_branch_there", where)
    yield StepSpec(
        verb="branch",
        title=f"Create branch {change.branch} from {place.base}",
        how="GitHub's API",
        resource="Branch.github",
        namespace="",
        name=target,
        timeout_seconds=_SECONDS,
        effect=Call(
            service="github",
            method="POST",
            path=f"/repos/{name}/git/refs",
            made=there,
            body={"ref": f"refs/heads/{change.branch}"},
            shown=(Shown("branch", None, change.branch), Shown("from", None, place.base)),
            prepared=HeadOf(name, place.base),
        ),
        until=there,
    )
    written = Condition("github_file_is", {**where, "path": place.file.path, "blob": change.blob})
    yield StepSpec(
        verb="commit",
        title=f"Commit the change of {place.file.path} to that branch",
        how="GitHub's API",
        resource="Commit.github",
        namespace="",
        name=target,
        timeout_seconds=_SECONDS,
        effect=Call(
            service="github",
            method="PUT",
            path=f"/repos/{name}/contents/{quote(place.file.path)}",
            made=written,
            body={
                "message": f"{title}\n\nProposed by ${{run.user}} with Phaseboard, run ${{run.mark}}.",
                "branch": change.branch,
                # GitHub accepts the commit only while the file is this one
                "sha": place.file.sha,
            },
            prepared=FileEdit(
                repository=name,
                path=place.file.path,
                before=place.file.sha,
                after=change.blob,
                application=place.application,
                namespace=app.metadata.namespace,
                values=params.values,
                diff=diff,
            ),
        ),
        until=written,
    )
    opened = Condition("github_pull_open", {**where, "base": place.base, "mark": "${run.mark}"})
    yield StepSpec(
        verb="propose",
        title=f"Open the pull request into {place.base}",
        how="GitHub's API",
        resource="PullRequest.github",
        namespace="",
        name=target,
        timeout_seconds=_SECONDS,
        effect=Call(
            service="github",
            method="POST",
            path=f"/repos/{name}/pulls",
            made=opened,
            body={
                "title": title,
                "head": change.branch,
                "base": place.base,
                "body": _body(app, place, edits, params.why, applied),
            },
            shown=(Shown("pull request.title", None, title), Shown("pull request.into", None, place.base)),
        ),
        until=opened,
    )


def _title(app: Application, edits: Sequence[Edit]) -> str:
    """One line, as a commit's first line is read."""
    names = [edit.name for edit in edits]
    said = f"{app.metadata.name}: {'set ' if not edits[0].remove else 'take out '}{names[0]}"
    return clean(f"{said} and {count(len(names) - 1, 'other value')}" if len(names) > 1 else said, 120)


def _body(app: Application, place: Place, edits: Sequence[Edit], why: str, applied: str) -> str:
    """Markdown. What people or the cluster wrote stands in code, where it is neither a mention nor markup."""
    lines = [
        f"Helm values of Argo CD Application `{app.metadata.name}`, in `{place.file.path}`:",
        "",
        *(f"- {_code(words([edit]))}" for edit in edits),
        "",
        *([f"Why: {_code(why)}", ""] if why else []),
        applied,
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
