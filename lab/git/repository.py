"""The team's Git repository as Argo CD sees it: files by path, a revision that is their hash, and Helm sources.

The files live in a folder when the lab is given one (a person edits "Git" and refreshes), else in memory.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import yaml

from lab.git.chart import ChartError, render
from lab.git.templates import merged, plain

_SHIPPED = Path(__file__).parent
SHIPPED_FOLDERS = ("bootstrap/apps", "infrastructure", "platform-services")


class SourceError(Exception):
    """A source cannot be turned into manifests; the text is Argo CD's message."""


def shipped_files() -> dict[str, str]:
    """The files of the team's repository at the report's hour, path to text."""
    return {
        f"{folder}/{path.name}": path.read_text(encoding="utf-8")
        for folder in SHIPPED_FOLDERS
        for path in sorted((_SHIPPED / folder).glob("*.yaml"))
    }


class Repository:
    """Files of one branch. With a folder, the folder is the truth and is read anew at every use."""

    def __init__(self, files: dict[str, str], folder: Path | None = None, *, anew: bool = False) -> None:
        self._files = files
        self._folder = folder
        if folder and (anew or not folder.exists()):
            shutil.rmtree(folder, ignore_errors=True)
            self._write(folder)

    def _write(self, folder: Path) -> None:
        for path, text in self._files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")

    @property
    def files(self) -> dict[str, str]:
        if not self._folder:
            return dict(self._files)
        return {
            str(path.relative_to(self._folder)): path.read_text(encoding="utf-8")
            for path in sorted(self._folder.rglob("*.yaml"))
        }

    def commit(self, path: str, text: str) -> str:
        """Change one file and give the new revision."""
        if self._folder:
            (self._folder / path).write_text(text, encoding="utf-8")
        self._files[path] = text
        return self.head

    @property
    def head(self) -> str:
        """A commit id: the hash of all files."""
        digest = hashlib.sha1(usedforsecurity=False)
        for path, text in sorted(self.files.items()):
            digest.update(f"{path}\0{text}\0".encode())
        return digest.hexdigest()

    def revision(self, source: dict[str, Any]) -> str:
        """What `status.sync.revision` shows: the chart's version, or the branch's commit."""
        return str(source.get("targetRevision", "")) if source.get("chart") else self.head

    def manifests(self, source: dict[str, Any], namespace: str, app: str) -> list[dict[str, Any]]:
        """The objects of one Application source. Raises SourceError with Argo CD's words."""
        if source.get("chart"):
            return self._helm(source, namespace, app)
        folder = str(source.get("path", "")).strip("/")
        texts = {path: text for path, text in self.files.items() if path.rpartition("/")[0] == folder}
        if not texts:
            raise SourceError(f"Failed to load target state: {folder}: app path does not exist")
        found: list[dict[str, Any]] = []
        for path, text in sorted(texts.items()):
            try:
                found += [doc for doc in yaml.load_all(text, Loader=yaml.CSafeLoader) if doc]
            except yaml.YAMLError as error:
                raise SourceError(f"Failed to load target state: failed to unmarshal {path}: {error}") from error
        return found

    def _helm(self, source: dict[str, Any], namespace: str, app: str) -> list[dict[str, Any]]:
        helm = source.get("helm") or {}
        try:
            values = helm_values(helm)
            return render(
                str(source["chart"]),
                str(source.get("targetRevision", "")),
                values,
                release=str(helm.get("releaseName") or app),
                namespace=namespace,
            )
        except (ChartError, yaml.YAMLError) as error:
            raise SourceError(
                "Failed to load target state: failed to generate manifest for source 1 of 1: rpc error: "
                f"code = Unknown desc = Manifest generation error (cached): {error}"
            ) from error


def helm_values(helm: dict[str, Any]) -> dict[str, Any]:
    """The effective values: `parameters` over `valuesObject`, and `values` only when there is no `valuesObject`."""
    if helm.get("valuesObject") is not None:
        values: dict[str, Any] = dict(helm["valuesObject"])
    else:
        loaded = plain(helm.get("values") or "{}")
        if not isinstance(loaded, dict):
            raise ChartError("error converting YAML to JSON: values are not a map")
        values = loaded
    for parameter in helm.get("parameters") or []:
        nested: Any = parameter["value"] if parameter.get("forceString") else plain(parameter["value"])
        for part in reversed(str(parameter["name"]).split(".")):
            nested = {part: nested}
        values = merged(values, nested)
    return values
