"""The same change through Git: a unified diff of an Application's manifest that a person downloads and applies.

The manifest's file is not in the cluster, but its ``values: |`` block is, line by line (Argo CD keeps the text). So
the patch is made of that text, indented as it stands in a manifest; its line numbers are counted inside the block, and
``git apply`` finds the place by the lines around it. Those must therefore be found once only, and no credential may be
among them: context is cut there. Which file it is nobody writes down: see :func:`file_of`.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from common.redaction import redact
from deployments.catalogue.argo import calls, credentials, helm, ownership, reading
from deployments.catalogue.argo.values import Edit, credential, edited
from integrations.kubernetes.custom import Application, AppSource
from monitoring.snapshot import Snapshot

#: a manifest in Git may say where it stands
FILE = "portal.remediation/git-file"
_FILE_NAME = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)*\.ya?ml")
_CONTEXT = 3
#: lines around a change that stand in so many places that no more of them help
_MOST_CONTEXT = 40
#: lines times lines that are compared; values come from the cluster and may be made to be slow
_MOST_WORK = 4_000_000
#: a hunk that begins at line 1 is only looked for there
_OFFSET = 10
_NO = "No patch can be made here"
_NOT_FINDABLE = "the lines around it are not enough to find the place without showing a credential"


@dataclass(frozen=True, slots=True)
class File:
    """Where a manifest stands in a repository. ``known`` is False for a guess; ``why`` says what it rests on."""

    repository: str
    branch: str
    path: str
    known: bool
    why: str


@dataclass(frozen=True, slots=True)
class GitPatch:
    """``sentence`` is the plan's ``git_way``, ``text`` its ``git_patch``: empty when none can be made (it says why)."""

    sentence: str
    text: str = ""
    file: File | None = None


@dataclass(frozen=True, slots=True)
class _Block:
    """The lines of the values, and which of them (from 0) hold a credential."""

    lines: list[str]
    hidden: set[int]

    @classmethod
    def of(cls, text: str) -> _Block:
        return cls(text.splitlines(), credentials.lines_of(text))


@dataclass(frozen=True, slots=True)
class _Hunk:
    before: tuple[int, int]
    after: tuple[int, int]
    lines: tuple[str, ...]
    leading: int
    trailing: int


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
    place = file_of(app, apps, file)
    if place is None:
        return GitPatch(f"Through Git first, if {app.metadata.name} is in Git: {wanted}. {_NO}: {_unknown(app, apps)}.")
    where = f"{place.path} of {place.repository}{f', branch {place.branch}' if place.branch else ''}"
    if not place.known:
        where += f" (a guess: {place.why})"
    start = f"Through Git first: {wanted} in {where}"
    try:
        text, flag = _diff(app, edits, place)
    except ValueError as error:
        return GitPatch(f"{start}. {_NO}: {error}.", file=place)
    unsure = _differs(app, apps)
    return GitPatch(f"{start}: download the patch and run git apply{flag} in a clone.{unsure}", text, place)


def words(edits: Iterable[Edit]) -> str:
    """``set a.b: true, c: 2 and take out d`` for people."""
    kept = [f"{e.name}: {json.dumps(e.value, ensure_ascii=False)}" for e in edits if not e.remove]
    gone = [e.name for e in edits if e.remove]
    parts = [f"set {', '.join(kept)}"] if kept else []
    return " and ".join([*parts, f"take out {', '.join(gone)}"] if gone else parts)


def file_of(app: Application, apps: Iterable[Application], given: str = "") -> File | None:
    """The file of an Application's manifest, as far as the cluster can tell; None when not even a guess is honest.

    Argo CD does not write down which file an object came from. Known is what a person gives, what the manifest says
    itself (annotation ``portal.remediation/git-file``), or the one file that the parent includes; else it is
    ``<parent's path>/<label component, or the Application's name>.yaml``, said to be a guess.
    """
    _, parent = reading.parent_of(app, apps)
    source = _directory(parent) if parent is not None else None
    repository = redact(source.repo_url, 300) if source is not None else "the repository"
    branch = source.target_revision if source is not None else ""
    noted = app.metadata.annotations.get(FILE, "")
    for path, why in ((given, "it was given"), (noted, f"annotation {FILE}")):
        if path and is_file(path):
            return File(repository, branch, path, True, why)
    if source is None:
        return None
    folder = source.path.strip("/").removeprefix("./")
    folder = f"{folder}/" if folder not in ("", ".") else ""
    include = str(source.directory.get("include") or "") if isinstance(source.directory, dict) else ""
    if is_file(include):
        return File(repository, branch, f"{folder}{include}", True, "the parent includes this file alone")
    name = app.metadata.name
    component = app.metadata.labels.get("component", "")
    if component and is_file(f"{component}.yaml"):
        why = f"from its label component; it may be {folder}{name}.yaml"
        return File(repository, branch, f"{folder}{component}.yaml", False, why)
    return File(repository, branch, f"{folder}{name}.yaml", False, "from its name, Argo CD does not say which file")


def is_file(path: str) -> bool:
    """Whether this is a relative path of a YAML file that stays inside its repository."""
    return _FILE_NAME.fullmatch(path) is not None and ".." not in path.split("/") and len(path) <= 300


def _directory(parent: Application) -> AppSource | None:
    """The parent's source when it is a folder of plain manifests; else its files are not what is applied."""
    sources = [s for s in (parent.spec.source, *(parent.spec.sources or [])) if s is not None]
    plain = (s for s in sources if s.path and not s.chart and not s.helm and not s.kustomize and not s.plugin)
    return next(plain, None) if parent.status.source_type in ("", "Directory") else None


def _unknown(app: Application, apps: Iterable[Application]) -> str:
    name, parent = reading.parent_of(app, apps)
    if not name:
        return "no parent Application says where its manifest stands"
    if parent is None:
        return f"its parent {name} could not be read"
    return f"its parent {name} renders it ({parent.status.source_type or 'not from plain files'})"


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
    hunks = _hunks(_Block.of(text), _Block.of(changed))
    body = [line for hunk in hunks for line in _shown(hunk, indent)]
    flag = _flag(hunks)
    header = [
        f"{app.metadata.name}: {', '.join(e.name for e in edits)}",
        "",
        f"Made from the Application in the cluster. The file is {'known' if place.known else 'a guess'}: {place.why}.",
        f"Apply it in a clone of {place.repository} with: git apply{flag} <this file>",
        "",
    ]
    names = [f"diff --git a/{place.path} b/{place.path}", f"--- a/{place.path}", f"+++ b/{place.path}"]
    return "\n".join([*header, *names, *body]) + "\n", flag


def _hunks(before: _Block, after: _Block) -> list[_Hunk]:
    """The changes with as much context as makes each of them findable. :raises ValueError: not without a credential."""
    groups: list[tuple[int, int, list[tuple[int, int, int, int]]]] = []
    for i1, i2, j1, j2 in _changes(before.lines, after.lines):
        if before.hidden & set(range(i1, i2)) or after.hidden & set(range(j1, j2)):
            raise ValueError("a line that holds a credential would have to change; do it by hand")
        low, high = _findable(before, i1, i2)
        if groups and groups[-1][1] >= low:
            first, _, changes = groups.pop()
            groups.append((min(first, low), high, [*changes, (i1, i2, j1, j2)]))
        else:
            groups.append((low, high, [(i1, i2, j1, j2)]))
    return [_hunk(before.lines, after.lines, *group) for group in groups]


def _changes(before: list[str], after: list[str]) -> Iterable[tuple[int, int, int, int]]:
    """The ranges that differ, as ``(from, to)`` in each. :raises ValueError: too much to compare."""
    first = next(
        (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
    )
    same = 0
    while same < min(len(before), len(after)) - first and before[-1 - same] == after[-1 - same]:
        same += 1
    old, new = before[first : len(before) - same], after[first : len(after) - same]
    if len(old) * len(new) > _MOST_WORK:
        raise ValueError("the changes lie too far apart in values that are too long; make them one by one")
    for tag, i1, i2, j1, j2 in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            yield i1 + first, i2 + first, j1 + first, j2 + first


def _findable(block: _Block, first: int, end: int) -> tuple[int, int]:
    """The range around a change that stands once only in the block."""
    lines, (low, high) = block.lines, (first, end)
    for grown in range(_MOST_CONTEXT):
        before = (low, high)
        once = low < high and _count(lines, lines[low:high]) == 1
        if once and grown >= _CONTEXT:
            return low, high
        low -= int(low > 0 and low - 1 not in block.hidden)
        high += int(high < len(lines) and high not in block.hidden)
        if before == (low, high) and once:
            return low, high
        if before == (low, high):
            break
    raise ValueError(_NOT_FINDABLE)


def _count(lines: list[str], part: list[str]) -> int:
    return sum(1 for at in range(len(lines) - len(part) + 1) if lines[at : at + len(part)] == part)


def _hunk(before: list[str], after: list[str], low: int, high: int, changes: list[tuple[int, int, int, int]]) -> _Hunk:
    lines: list[str] = []
    at = low
    for i1, i2, j1, j2 in changes:
        lines += [f" {line}" for line in before[at:i1]]
        lines += [f"-{line}" for line in before[i1:i2]]
        lines += [f"+{line}" for line in after[j1:j2]]
        at = i2
    lines += [f" {line}" for line in before[at:high]]
    (i1, _, j1, _), (_, i2, _, j2) = changes[0], changes[-1]
    new = (j1 - (i1 - low), j2 + (high - i2))
    return _Hunk((low, high), new, tuple(lines), leading=i1 - low, trailing=high - i2)


def _flag(hunks: Iterable[_Hunk]) -> str:
    """Git takes a hunk without lines after the change for the end of the file, unless told that less will do."""
    least = [hunk.leading - 1 for hunk in hunks if not hunk.trailing]
    if least and min(least) < 0:
        raise ValueError(_NOT_FINDABLE)
    return f" -C{min(least)}" if least else ""


def _shown(hunk: _Hunk, indent: str) -> list[str]:
    (a, b), (c, d) = hunk.before, hunk.after
    head = f"@@ -{a + _OFFSET},{b - a} +{c + _OFFSET},{d - c} @@"
    return [head, *(line[0] + (indent + line[1:] if line[1:] else "") for line in hunk.lines)]
