"""The conditions of proposals: what GitHub shows of a branch, a file, a pull request. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from deployments.catalogue.proposals import hub
from deployments.catalogue.seen import Line, Outlook, Seen
from monitoring.checks.text import clean
from monitoring.snapshot import Need, Snapshot

Args = Mapping[str, Any]


def branch_needs(_snapshot: Snapshot, args: Args) -> Iterable[Need]:
    """The repository (that it is seen at all) and the branch."""
    yield hub.repository(args["repository"])
    yield hub.ref(args["repository"], args["branch"])


def branch_there(snapshot: Snapshot, args: Args, _memory: Args) -> Seen:
    """``{repository, branch}``: the branch is there."""
    sha = hub.read_ref(snapshot, args["repository"], args["branch"])
    if not sha:
        return Seen(Outlook.NOT_YET, f"GitHub shows no branch {args['branch']}.")
    line = Line(f"branch {args['branch']} is at {sha[:10]}", "good")
    return Seen(Outlook.MET, f"Branch {args['branch']} is there, at {sha[:10]}.", (line,))


def branch_gone(snapshot: Snapshot, args: Args, _memory: Args) -> Seen:
    """``{repository, branch}``: the repository is seen, and the branch is not there."""
    if hub.read_repository(snapshot, args["repository"]) is None:
        return Seen(Outlook.NOT_YET, f"GitHub does not show {args['repository']}, so nobody can tell.")
    if hub.read_ref(snapshot, args["repository"], args["branch"]):
        return Seen(Outlook.NOT_YET, f"GitHub still shows branch {args['branch']}.")
    return Seen(Outlook.MET, f"Branch {args['branch']} is gone.")


def file_needs(_snapshot: Snapshot, args: Args) -> Iterable[Need]:
    """The file on the branch."""
    yield hub.contents(args["repository"], args["path"], args["branch"])


def file_is(snapshot: Snapshot, args: Args, _memory: Args) -> Seen:
    """``{repository, branch, path, blob}``: the file on the branch is this content, by Git's own hash of it."""
    body = snapshot.reply(hub.contents(args["repository"], args["path"], args["branch"])).body
    sha = str(body.get("sha")) if isinstance(body, Mapping) else "not there"
    if sha != args["blob"]:
        return Seen(Outlook.NOT_YET, f"{args['path']} on {args['branch']} is {sha[:10]}, not {args['blob'][:10]} yet.")
    return Seen(Outlook.MET, f"{args['path']} on {args['branch']} is what the plan shows ({sha[:10]}).")


def pull_needs(_snapshot: Snapshot, args: Args) -> Iterable[Need]:
    """The pull requests from the branch, the branch itself, and where people see them."""
    yield hub.CONNECTION
    yield hub.pulls(args["repository"], args["branch"])
    yield hub.ref(args["repository"], args["branch"])


def pull_open(snapshot: Snapshot, args: Args, _memory: Args) -> Seen:
    """``{repository, branch, base, mark}``: a pull request from the branch is open, at the branch's own commit.

    One of this run that is closed already was merged or refused by a person in the meantime: that is an answer too.
    """
    web = hub.connected(snapshot).web
    found = hub.read_pulls(snapshot, args["repository"], args["branch"])
    mine = [each for each in found if each.base == args["base"] and (each.state == "open" or args["mark"] in each.body)]
    for each in sorted(mine, key=lambda pull: (pull.state != "open", -pull.number)):
        known = {"pull": {"repository": args["repository"], "number": each.number, "sha": each.sha, "web": web}}
        if each.merged:
            return Seen(Outlook.MET, f"Pull request #{each.number} was merged already.", memory=known)
        if each.state != "open":
            return Seen(Outlook.FAILED, f"Pull request #{each.number} was closed again by somebody.", memory=known)
        sha = hub.read_ref(snapshot, args["repository"], args["branch"])
        if each.sha != sha:
            return Seen(Outlook.NOT_YET, f"Pull request #{each.number} does not show the branch's last commit yet.")
        said = f"Pull request #{each.number} of {args['repository']} is open into {args['base']}, at {each.sha[:10]}"
        by = f", by {clean(each.by, 60)}"
        return Seen(Outlook.MET, f"{said}. People merge it; the portal never does.", (Line(said + by, "good"),), known)
    return Seen(Outlook.NOT_YET, f"GitHub shows no open pull request from {args['branch']}.")


def closed_needs(_snapshot: Snapshot, args: Args) -> Iterable[Need]:
    """The pull request."""
    yield hub.pull(args["repository"], args["number"])


def pull_closed(snapshot: Snapshot, args: Args, _memory: Args) -> Seen:
    """``{repository, number}``: the pull request is closed and was not merged."""
    found = hub.read_pull(snapshot, args["repository"], args["number"])
    if found is None:
        return Seen(Outlook.NOT_YET, f"GitHub does not show pull request #{args['number']}.")
    if found.merged:
        return Seen(Outlook.REFUSED, f"Pull request #{found.number} was merged since the plan was made.")
    if found.state == "open":
        return Seen(Outlook.NOT_YET, f"Pull request #{found.number} is open.")
    return Seen(Outlook.MET, f"Pull request #{found.number} is closed.")
