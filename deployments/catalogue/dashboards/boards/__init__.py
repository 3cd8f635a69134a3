"""Our own dashboards: the JSON beside this file, read once when the catalogue is loaded.

Each has its datasource as a variable (``${datasource}``), so that it fits every Grafana; its description carries the
revision of its content, by which it is found again in Grafana.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.canonical import digest
from deployments.catalogue.dashboards import api

#: in the order in which they are imported
NAMES = ("dora-overview", "argocd-delivery")


@dataclass(frozen=True, slots=True)
class Board:
    """One dashboard as it is imported. ``revision`` is the beginning of the SHA-256 of its content."""

    uid: str
    title: str
    revision: str
    content: dict[str, Any]

    @property
    def panels(self) -> int:
        return len(self.content["panels"])

    @property
    def text(self) -> str:
        """The JSON of a file for Grafana's provisioning."""
        return json.dumps(self.content, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _load(name: str) -> Board:
    loaded: dict[str, Any] = json.loads((Path(__file__).parent / f"{name}.json").read_text(encoding="utf-8"))
    revision = digest(loaded)[:12]
    content = {**loaded, "description": api.described(loaded["description"], revision)}
    return Board(loaded["uid"], loaded["title"], revision, content)


BOARDS: tuple[Board, ...] = tuple(map(_load, NAMES))
