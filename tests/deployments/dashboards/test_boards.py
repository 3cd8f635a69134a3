"""Our dashboards are data: they fit Grafana's grid, ask valid PromQL, and say what they show."""

from __future__ import annotations

import json
import re
from itertools import combinations
from typing import Any

import pytest

from deployments.catalogue.dashboards import api
from deployments.catalogue.dashboards.boards import BOARDS, Board
from lab.services.promql import parse

_MACROS = {"$__range_s": "3600", "$__range": "1h", "$service": ".*", "$env": ".*", "$application": ".*"}


def queries(board: Board) -> list[str]:
    return [target["expr"] for panel in board.content["panels"] for target in panel["targets"]]


def test_there_are_the_two_that_the_items_ask_for() -> None:
    assert [board.uid for board in BOARDS] == ["dora-overview", "argocd-delivery"]
    assert all("dora" in board.content["tags"] for board in BOARDS)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_every_query_is_promql(board: Board) -> None:
    assert queries(board)
    for written in queries(board):
        text = written
        for macro, value in _MACROS.items():
            text = text.replace(macro, value)
        assert "$" not in text
        parse(text)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_panels_have_their_own_id_and_place(board: Board) -> None:
    panels: list[dict[str, Any]] = board.content["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        {(x, y) for x in range(g["x"], g["x"] + g["w"]) for y in range(g["y"], g["y"] + g["h"])}
        for g in (panel["gridPos"] for panel in panels)
    ]
    assert all(x < 24 for cell in cells for x, _ in cell)
    assert all(not one & other for one, other in combinations(cells, 2))
    titles = [panel["title"] for panel in panels if panel["type"] != "text"]
    assert all(titles) and len(set(titles)) == len(titles)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.uid)
def test_the_datasource_is_a_variable_so_that_it_resolves_everywhere(board: Board) -> None:
    uids = set(re.findall(r'"datasource":\s*\{[^}]*"uid":\s*"([^"]*)"', json.dumps(board.content)))
    assert uids == {"${datasource}"}
    assert board.content["templating"]["list"][0]["type"] == "datasource"


def test_a_count_of_syncs_is_called_syncs() -> None:
    """Self-heal and repeats are in it: who reads "deployments" there is misled."""
    argo = next(board for board in BOARDS if board.uid == "argocd-delivery")
    titles = [p["title"] for p in argo.content["panels"] if any("sync_total" in t["expr"] for t in p["targets"])]
    assert titles
    assert all("syncs" in title and "deployment" not in title.lower() for title in titles)


def test_the_revision_follows_the_content() -> None:
    for board in BOARDS:
        assert api.revision_of({"dashboard": board.content}) == board.revision
        assert len(board.revision) == 12
    assert len({board.revision for board in BOARDS}) == len(BOARDS)
    assert api.revision_of({"dashboard": {"description": "Somebody's own"}}) == ""
    assert api.revision_of({}) == ""
