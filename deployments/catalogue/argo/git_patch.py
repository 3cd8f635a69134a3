"""The same change through Git: a unified diff of an Application's manifest that a person downloads and applies.

The manifest's file is not in the cluster, but its ``values: |`` block is, line by line (Argo CD keeps the text). So
the patch is made of that text, indented as it stands in a manifest; its line numbers are counted inside the block, and
``git apply`` finds the place by the lines around it. Those must therefore be found once only, and no credential may be
among them: context is cut there. Which file it is nobody writes down: see ``git_file``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from deployments.catalogue.action import GitChange
from deployments.catalogue.argo import calls, git_file, helm, hunks, ownership, reading
from deployments.catalogue.argo.git_file import File
from deployments.catalogue.argo.values import Edit, credential, edited
from integrations.kubernetes.custom import Application
from monitoring.snapshot import Snapshot

#: a hunk that begins at line 1 is only looked for there
_OFFSET = 10
_NO = "No patch can be made here"


@dataclass(frozen=True, slots=True)
class GitPatch:
    """``sentence`` is the plan's ``git_way``, ``text`` its ``git_patch``: empty when none can be made (it says why).

    ``change`` is its ``git_change``: of a file that can be read in Git more can be made than of the cluster's text.
    """

    sentence: str
    text: str = ""
    file: File | None = None
    change: GitChange | None = None


def for_values(snapshot: Snapshot, app: Application, edits: Sequence[Edit], file: str = "") -> GitPatch:
    """The patch that makes these edits of an Application's Helm values in Git.

    ``file``: where its manifest stands, if a person knows. :raises monitoring.snapshot.Missing: Applications were not
    read.
    """
    apps: list[Application] = snapshot.objects(calls.APPLICATIONS)
    wanted = words(edits)
    secret = credential(edits)
    if secret:
        return GitPatch(f"{_NO}: {secret} would put a credential into it. Refer to a Secret instead.")
    owner = ownership.set_of(app)
    if owner:
        return GitPatch(f"Through Git first: {wanted} in the template of ApplicationSet {owner}. {_NO}.")
    place = git_file.file_of(app, apps, file)
    if place is None:
        why = git_file.unknown(app, apps)
        return GitPatch(f"Through Git first, if {app.metadata.name} is in Git: {wanted}. {_NO}: {why}.")
    where = f"{place.path} of {place.repository}{f', branch {place.branch}' if place.branch else ''}"
    if not place.known:
        where += f" (a guess: {place.why})"
    start = f"Through Git first: {wanted} in {where}"
    change = GitChange(
        application=app.metadata.name,
        namespace=app.metadata.namespace,
        values=", ".join(map(str, edits)),
        file=file,
        repository=place.remote,
    )
    try:
        text, flag = _diff(app, edits, place)
    except ValueError as error:
        return GitPatch(f"{start}. {_NO}: {error}.", file=place, change=change)
    unsure = _differs(app, apps)
    said = f"{start}: download the patch and run git apply{flag} in a clone.{unsure}"
    return GitPatch(said, text, place, change)


def words(edits: Iterable[Edit]) -> str:
    """``set a.b: true, c: 2 and take out d`` for people."""
    kept = [f"{e.name}: {json.dumps(e.value, ensure_ascii=False)}" for e in edits if not e.remove]
    gone = [e.name for e in edits if e.remove]
    parts = [f"set {', '.join(kept)}"] if kept else []
    return " and ".join([*parts, f"take out {', '.join(gone)}"] if gone else parts)


def _differs(app: Application, apps: Iterable[Application]) -> str:
    """A word of warning when the live text is known not to be Git's."""
    _, parent = reading.parent_of(app, apps)
    mine = [
        r
        for r in (parent.status.resources if parent is not None else [])
        if r.kind == "Application" and r.name == app.metadata.name
    ]
    if mine and mine[0].status != "Synced" and parent is not None:
        return f" {parent.metadata.name} shows it as {mine[0].status}: the live text may not be Git's."
    return ""


# -- the diff


def _diff(app: Application, edits: Sequence[Edit], place: File) -> tuple[str, str]:
    """(patch, the flag that git apply needs for it). :raises ValueError: why there is none."""
    if not place.manifest:
        raise ValueError("the text of that file is not in the cluster")
    found = helm.located(app)
    if found is None or found.source.helm is None:
        raise ValueError("the Application sets no Helm values")
    if found.source.helm.values_object is not None:
        raise ValueError("the values are a map (valuesObject); the cluster keeps neither its order nor its comments")
    text = found.source.helm.values
    if not text.strip():
        raise ValueError("the Application has no block of values to change")
    indent = " " * found.indent
    changed = edited(text, edits)
    if changed == text:
        raise ValueError("the values say so already")
    found_hunks = hunks.between(hunks.Block.of(text), hunks.Block.of(changed), findable=True)
    body = [line for hunk in found_hunks for line in hunks.shown(hunk, indent, _OFFSET)]
    flag = hunks.flag_of(found_hunks)
    header = [
        f"{app.metadata.name}: {', '.join(e.name for e in edits)}",
        "",
        f"Made from the Application in the cluster. The file is {'known' if place.known else 'a guess'}: {place.why}.",
        f"Apply it in a clone of {place.repository} with: git apply{flag} <this file>",
        "",
    ]
    return "\n".join([*header, *hunks.heading(place.path), *body]) + "\n", flag
