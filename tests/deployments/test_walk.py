"""The catalogue, walked entry by entry: an action that lacks one of these is not one that people may press.

What a plan must have is held to every plan made on a lab (``whole.hold``); here every action must have such a test.
"""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Callable
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from deployments.catalogue import docs, registry
from deployments.catalogue.action import Action
from deployments.catalogue.families import CONDITIONS

HERE = Path(__file__).parent
ACTIONS = registry.all_actions()
#: what an action says that the engine cannot undo
_WITHOUT = re.compile(r"[Ii]rreversible|Not needed|Nothing to undo|\(action ([a-z-]+)\)|cannot be taken back")


class _Lab(ast.NodeVisitor):
    """The texts of each test function of a module."""

    def __init__(self) -> None:
        self.texts: dict[str, set[str]] = {}

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
        texts = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
        self.texts[node.name] = texts | names


#: GitHub is no part of the lab: its stand-in answers these over HTTP
BESIDE = {"proposals/test_runs.py"}


@cache
def lab_tests() -> dict[str, set[str]]:
    """Test functions of modules that start a lab, with the texts and names in them."""
    found: dict[str, set[str]] = {}
    for path in sorted(HERE.rglob("test_*.py")):
        source = path.read_text(encoding="utf-8")
        named = str(path.relative_to(HERE))
        if path.name == Path(__file__).name or ("pytest.mark.lab" not in source and named not in BESIDE):
            continue
        seen = _Lab()
        seen.visit(ast.parse(source))
        found |= {f"{path.relative_to(HERE)}::{name}": texts for name, texts in seen.texts.items()}
    return found


@cache
def pure_tests() -> str:
    """All that the tests without a lab say."""
    sources = (path.read_text(encoding="utf-8") for path in sorted(HERE.rglob("test_*.py")))
    return "\n".join(source for source in sources if "pytest.mark.lab" not in source)


#: they write nothing into the cluster: one only reads, GitHub's own rights decide about the others
NO_RIGHTS = {"use-prometheus-ui", "propose-in-git", "withdraw-proposal"}


def lacking(has: Callable[[Action], object]) -> list[str]:
    """The actions of which something is not so."""
    return [action.slug for action in ACTIONS if not has(action)]


def test_each_says_what_it_does_what_guards_it_and_what_proves_it() -> None:
    assert lacking(lambda action: action.summary and action.verified_by and action.guards) == []
    assert lacking(lambda action: action.reference) == [], "where the calls and their dangers are described"
    assert lacking(lambda action: all(field.about for field in registry.fields(action))) == []


def test_each_can_be_undone_or_says_why_not() -> None:
    assert lacking(lambda action: action.undo and (action.undoable or _WITHOUT.search(action.undo))) == []
    named = {found.group(1) for action in ACTIONS if (found := _WITHOUT.search(action.undo)) and found.group(1)}
    assert named <= {action.slug for action in ACTIONS}


def test_each_names_the_rights_it_needs_one_by_one() -> None:
    verbs = {"get", "list", "create", "patch", "update", "delete"}
    assert set(lacking(lambda action: action.rules)) == NO_RIGHTS
    assert lacking(lambda a: all(set(rule.verbs) <= verbs and rule.resource != "*" for rule in a.rules)) == []


def test_the_conditions_that_are_named_are_known() -> None:
    """Every condition that the catalogue's code names is one that the engine can look at."""
    named = {
        node.args[0].value
        for path in Path(registry.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Condition" and node.args
        if isinstance(node.args[0], ast.Constant)
    }
    assert named and named <= CONDITIONS.keys()


def test_each_is_documented_with_each_parameter() -> None:
    page = docs.page()
    for action in ACTIONS:
        section = page.partition(f"### `{action.slug}`")[2].partition("\n### ")[0]
        for part in (action.summary, action.undo, action.verified_by, *action.guards):
            assert part in section, action.slug
        assert all(f"| `{field.name}` |" in section for field in registry.fields(action)), action.slug


@pytest.mark.django_db
def test_each_has_a_page_with_its_form_and_what_it_says(client: Client, settings: Any) -> None:
    settings.PORTAL_LAB = True
    call_command("ensure_users", stdout=StringIO())
    client.force_login(User.objects.get(username="operator"))
    for action in ACTIONS:
        answer = client.get(reverse("action", args=[action.slug]))
        page = answer.content.decode()
        text = html.unescape(re.sub(r"<[^>]+>", "", page))
        assert answer.status_code == 200, action.slug
        for part in (action.title, action.summary, action.undo, action.verified_by, action.reference, *action.guards):
            # a guard begins with a capital on its page
            assert part.casefold() in text.casefold(), (action.slug, part)
        assert [f.name for f in registry.fields(action) if f'name="p-{f.name}"' not in page] == [], action.slug


def test_each_is_tried_on_a_lab_and_planned_without_one() -> None:
    """Every plan made there is held to ``whole.hold``: its preview, evidence, proof, undo, line by hand and rights."""
    tried = set().union(*lab_tests().values())
    assert lacking(lambda action: action.slug in tried) == []
    assert lacking(lambda action: f'"{action.slug}"' in pure_tests()) == []


#: undone elsewhere by the same code, and why not here
UNTRIED = {
    "fix-duplicate-default-datasource": "where it writes a ConfigMap the undo is set-label's; the lab's two defaults "
    "stand in values that hold a password, of which nothing is kept",
}


def test_the_undo_of_each_that_has_one_is_tried_on_a_lab() -> None:
    undone = set().union(*(texts for texts in lab_tests().values() if texts & {"undo-run", "undo", "undone"}))
    assert lacking(lambda action: not action.undoable or action.slug in undone) == list(UNTRIED)
