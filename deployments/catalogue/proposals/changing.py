"""The file after a proposed change, the branch that is named by it, and the difference without credentials. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

from deployments.catalogue.action import CannotPlan
from deployments.catalogue.argo import git_edit, hunks, values
from deployments.catalogue.argo.values import Edit
from deployments.catalogue.proposals import hub
from deployments.catalogue.proposals.placing import Place
from integrations.kubernetes.custom import Application


class Change(NamedTuple):
    """The file after the change, Git's hash of it, and the branch it goes to."""

    text: str
    blob: str
    branch: str


class Difference(NamedTuple):
    """The change for people: as a diff of the file, as a patch that ``git apply`` takes, and its size."""

    diff: str
    patch: str
    added: int
    removed: int

    @property
    def size(self) -> str:
        return f"+{self.added} −{self.removed} lines"


def changed(app: Application, place: Place, edits: Sequence[Edit]) -> Change:
    """:raises CannotPlan: the edits cannot be made in this file."""
    file, name = place.file, place.repository.name
    try:
        after = _edited(file.text, place.application, app.metadata.namespace, ", ".join(map(str, edits)))
    except ValueError as error:
        raise _cannot(place, error) from None
    if after == file.text:
        where = _where(place)
        raise CannotPlan(
            f"Nothing to change: {where}, says so already. If the cluster does not, it has not been synced."
        )
    blob = git_edit.blob_sha(after)
    # of the change alone: the same change is the same branch, whoever proposes it and however often
    named = f"{name}\n{place.base}\n{file.path}\n{file.sha}\n{blob}"
    digest = hashlib.sha256(named.encode()).hexdigest()[:10]
    return Change(after, blob, f"{hub.PREFIX}{app.metadata.name[:60].rstrip('-.')}-{digest}")


@lru_cache(maxsize=2)
def _edited(text: str, application: str, namespace: str, wanted: str) -> str:
    """Asked in every round of a plan's reading. :raises ValueError:"""
    return git_edit.changed(text, application, namespace, values.parse(wanted))


def difference(place: Place, change: Change) -> Difference:
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
    return Difference(
        diff=diff,
        patch=f"{header}Apply it in a clone with: git apply{flag} <this file>\n\n{diff}",
        added=sum(line.startswith("+") for line in lines),
        removed=sum(line.startswith("-") for line in lines),
    )


def _cannot(place: Place, error: ValueError) -> CannotPlan:
    return CannotPlan(f"{_where(place)}, cannot be changed here: {error}.")


def _where(place: Place) -> str:
    return f"{place.file.path} in {place.repository.name}, branch {place.base}"


def _block(text: str) -> hunks.Block:
    """The lines with those marked that hold a credential. :raises ValueError: the text cannot be read."""
    return hunks.Block(text.splitlines(), git_edit.credential_lines(text))
