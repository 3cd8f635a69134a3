"""Where a change belongs on GitHub: the repository, the branch people merge into, the file that says the values. Pure.

The cluster says which repository and, as a guess, which file (``argo.git_file``); the repository says the rest. Asked
in as few rounds as there can be: each round's answers name the next round's questions.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from deployments.catalogue.action import CannotPlan
from deployments.catalogue.argo import calls, git_edit, git_file, helm, ownership, reading
from deployments.catalogue.argo.git_file import File
from deployments.catalogue.proposals import hub
from integrations.github import address
from integrations.kubernetes.custom import Application
from monitoring.checks.text import clean, count
from monitoring.snapshot import Missing, Need, Snapshot

#: more files of a folder are not read to find a manifest
_MOST_FILES = 30


@dataclass(frozen=True, slots=True)
class Place:
    """A file on GitHub. ``follows``: Argo CD reads ``base`` itself; else ``revision``, which is no branch."""

    repository: hub.Repository
    base: str
    revision: str
    follows: bool
    file: hub.Content
    #: whose values, in a file of manifests; empty: the file is values itself
    application: str


def file_of(snapshot: Snapshot, app: Application, given: str) -> File:
    """:raises CannotPlan: the cluster does not say where its values stand in Git. :raises Missing:"""
    apps: list[Application] = snapshot.objects(calls.APPLICATIONS)
    name = app.metadata.name
    owner = ownership.set_of(app)
    if owner:
        raise CannotPlan(f"ApplicationSet {owner} makes {name}: change its template, by hand.")
    found = git_file.file_of(app, apps, given)
    if found is None:
        raise CannotPlan(f"Nobody can tell where {name} stands in Git: {git_file.unknown(app, apps)}.")
    if found.manifest and helm.located(app) is None:
        raise CannotPlan(f"{name} has no Helm source, or several; its values are changed by hand.")
    if not found.remote:
        raise CannotPlan(
            f"The cluster does not say which repository {name} stands in ({clean(found.repository, 200)})."
        )
    return found


def repository_of(snapshot: Snapshot, file: File) -> str:
    """``owner/name``. :raises CannotPlan: it is not on the connected GitHub. :raises Missing: no connection."""
    host = hub.connected(snapshot).host
    name = address.repository_on(file.remote, host)
    if not name:
        raise CannotPlan(
            f"{file.remote} is not on {host}, the GitHub this portal is connected to: download the patch instead."
        )
    return name


def needs(snapshot: Snapshot, app: Application, given: str) -> Iterable[Need]:
    """What :func:`find` reads, as far as it is known what to ask."""
    with suppress(Missing, CannotPlan, ValueError):
        file = file_of(snapshot, app, given)
        name = repository_of(snapshot, file)
        yield hub.repository(name)
        if hub.is_branch(file.branch) and file.branch != "HEAD":
            yield hub.ref(name, file.branch)
        repository, base = _base(snapshot, name, file)
        for path in _guesses(file, app):
            yield hub.contents(repository.name, path, base)
        if not file.known:
            folder = posixpath.dirname(file.path)
            yield hub.contents(repository.name, folder, base)
            if _match(snapshot, app, repository.name, base, _guesses(file, app)) is None:
                for path in _others(snapshot, repository.name, base, file, app):
                    yield hub.contents(repository.name, path, base)


def find(snapshot: Snapshot, app: Application, given: str) -> Place:
    """:raises CannotPlan: one sentence that says what to do. :raises Missing: GitHub did not answer."""
    file = file_of(snapshot, app, given)
    repository, base = _base(snapshot, repository_of(snapshot, file), file)
    return Place(
        repository=repository,
        base=base,
        revision=file.branch,
        follows=base == file.branch or file.branch in ("", "HEAD"),
        file=_content(snapshot, app, repository.name, base, file),
        application=app.metadata.name if file.manifest else "",
    )


def _base(snapshot: Snapshot, name: str, file: File) -> tuple[hub.Repository, str]:
    """The branch Argo CD follows if it follows one, else the default branch. :raises CannotPlan, Missing:"""
    repository = hub.read_repository(snapshot, name)
    if repository is None:
        raise CannotPlan(f"GitHub does not show {name} to this token: give it Contents and Pull requests of it.")
    wanted = file.branch
    if wanted in ("", "HEAD") or not hub.is_branch(wanted):
        return repository, repository.default_branch
    return repository, wanted if hub.read_ref(snapshot, name, wanted) else repository.default_branch


def _guesses(file: File, app: Application) -> list[str]:
    if file.known:
        return [file.path]
    folder = posixpath.dirname(file.path)
    other = posixpath.join(folder, f"{app.metadata.name}.yaml")
    return list(dict.fromkeys([file.path, other]))


def _others(snapshot: Snapshot, name: str, base: str, file: File, app: Application) -> list[str]:
    """The other YAML files beside a guess, in a fixed order. :raises Missing:"""
    listed = hub.read_folder(snapshot, name, posixpath.dirname(file.path), base)
    tried = _guesses(file, app)
    return [path for path in listed if git_file.is_file(path) and path not in tried][:_MOST_FILES]


def _match(snapshot: Snapshot, app: Application, name: str, base: str, paths: Iterable[str]) -> hub.Content | None:
    """The first of these files that holds the Application. :raises Missing:"""
    for path in paths:
        with suppress(ValueError):
            content = hub.read_content(snapshot, name, path, base)
            if content is not None and git_edit.holds(content.text, app.metadata.name, app.metadata.namespace):
                return content
    return None


def _content(snapshot: Snapshot, app: Application, name: str, base: str, file: File) -> hub.Content:
    """:raises CannotPlan, Missing:"""
    where = f"{name}, branch {base}"
    if not file.known:
        others = _others(snapshot, name, base, file, app)
        found = _match(snapshot, app, name, base, [*_guesses(file, app), *others])
        if found is None:
            looked = count(len(_guesses(file, app)) + len(others), "file")
            raise CannotPlan(
                f"None of {looked} in {posixpath.dirname(file.path) or 'the top folder'} of {where} holds Application "
                f"{app.metadata.name}: say which file it is (parameter file)."
            )
        return found
    try:
        content = hub.read_content(snapshot, name, file.path, base)
    except ValueError as error:
        raise CannotPlan(f"{error} in {where}: change it there by hand.") from None
    if content is None:
        raise CannotPlan(f"There is no {file.path} in {where} ({file.why}): say which file it is (parameter file).")
    if file.manifest and not git_edit.holds(content.text, app.metadata.name, app.metadata.namespace):
        raise CannotPlan(
            f"{file.path} in {where} does not hold Application {app.metadata.name} once, or cannot be read: say which "
            "file it is (parameter file)."
        )
    return content


def applied_by(app: Application, apps: Iterable[Application], place: Place) -> str:
    """What Argo CD does with it once it is merged. A manifest is applied by the parent before its Application is."""
    follows = f"Argo CD follows branch {place.base}" if place.follows else (
        f"Argo CD follows {clean(place.revision, 80)}, which is no branch: what is merged into {place.base} takes "
        "effect when that is moved"
    )  # fmt: skip
    parent = reading.parent_of(app, apps)[1] if place.application else None
    manual = [each.metadata.name for each in (parent, app) if each is not None and not reading.is_automated(each)]
    by = f"when somebody syncs {' and then '.join(manual)}" if manual else "by itself (auto-sync)"
    return f"{follows}; the change is applied {by} after people have merged it. The portal merges nothing."
