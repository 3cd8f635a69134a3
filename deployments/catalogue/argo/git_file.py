"""Which file of which repository says an Application's Helm values, as far as the cluster can tell. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable
from dataclasses import dataclass

from common.redaction import redact
from deployments.catalogue.argo import helm, reading
from integrations.github import address
from integrations.kubernetes.custom import Application, AppSource

#: a manifest in Git may say where it stands
FILE = "portal.remediation/git-file"
_FILE_NAME = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*\.ya?ml")


@dataclass(frozen=True, slots=True)
class File:
    """Where an Application's values are said in a repository: in its own manifest, or (``manifest`` False) in a file of
    values. ``known`` is False for a guess; ``why`` says what it rests on; ``remote`` is the repository as
    ``host/owner/name``, empty when its URL says none."""

    repository: str
    branch: str
    path: str
    known: bool
    why: str
    remote: str = ""
    manifest: bool = True


def file_of(app: Application, apps: Iterable[Application], given: str = "") -> File | None:
    """The file that says an Application's values; None when not even a guess is honest.

    Of values that stand in files of their own it is the last one, which wins; else it is the manifest. Which file that
    is Argo CD does not write down. Known is what a person gives, what the manifest says itself (annotation
    ``portal.remediation/git-file``), or the one file that the parent includes; else it is
    ``<parent's path>/<label component, or the Application's name>.yaml``, said to be a guess.
    """
    values = _values_file(app, given)
    if values is not None:
        return values
    _, parent = reading.parent_of(app, apps)
    source = _directory(parent) if parent is not None else None
    repository = redact(source.repo_url, 300) if source is not None else "the repository"
    branch = source.target_revision if source is not None else ""
    remote = address.normalised(source.repo_url) if source is not None else ""
    noted = app.metadata.annotations.get(FILE, "")
    for path, why in ((given, "it was given"), (noted, f"annotation {FILE}")):
        if path and is_file(path):
            return File(repository, branch, path, True, why, remote)
    if source is None:
        return None
    folder = source.path.strip("/").removeprefix("./")
    folder = f"{folder}/" if folder not in ("", ".") else ""
    include = str(source.directory.get("include") or "") if isinstance(source.directory, dict) else ""
    if is_file(include):
        return File(repository, branch, f"{folder}{include}", True, "the parent includes this file alone", remote)
    name = app.metadata.name
    component = app.metadata.labels.get("component", "")
    if component and is_file(f"{component}.yaml"):
        why = f"from its label component; it may be {folder}{name}.yaml"
        return File(repository, branch, f"{folder}{component}.yaml", False, why, remote)
    why = "from its name, Argo CD does not say which file"
    return File(repository, branch, f"{folder}{name}.yaml", False, why, remote)


def _values_file(app: Application, given: str) -> File | None:
    """The last file of values, where the Application itself says none: values in the manifest would win over it."""
    found = helm.located(app)
    helm_source = found.source.helm if found is not None else None
    if found is None or helm_source is None or not helm_source.value_files:
        return None
    if helm_source.values_object is not None or helm_source.values.strip():
        return None
    last, source = helm_source.value_files[-1], found.source
    if last.startswith("$"):
        ref, _, path = last[1:].partition("/")
        named = [s for s in app.spec.sources or [] if s.ref == ref]
        if len(named) != 1:
            return None
        source = named[0]
    elif source.chart or "://" in last:
        return None
    else:
        path = last.lstrip("/") if last.startswith("/") else posixpath.normpath(posixpath.join(source.path, last))
    path, why = (given, "it was given") if given else (path, "the last of its valueFiles")
    if not is_file(path):
        return None
    repository, remote = redact(source.repo_url, 300), address.normalised(source.repo_url)
    return File(repository, source.target_revision, path, True, why, remote, manifest=False)


def is_file(path: str) -> bool:
    """Whether this is a relative path of a YAML file that stays inside its repository."""
    return _FILE_NAME.fullmatch(path) is not None and ".." not in path.split("/") and len(path) <= 300


def _directory(parent: Application) -> AppSource | None:
    """The parent's source when it is a folder of plain manifests; else its files are not what is applied."""
    sources = [s for s in (parent.spec.source, *(parent.spec.sources or [])) if s is not None]
    plain = (s for s in sources if s.path and not s.chart and not s.helm and not s.kustomize and not s.plugin)
    return next(plain, None) if parent.status.source_type in ("", "Directory") else None


def unknown(app: Application, apps: Iterable[Application]) -> str:
    """Why :func:`file_of` has none."""
    name, parent = reading.parent_of(app, apps)
    if not name:
        return "no parent Application says where its manifest stands"
    if parent is None:
        return f"its parent {name} could not be read"
    return f"its parent {name} renders it ({parent.status.source_type or 'not from plain files'})"
