"""Every view declares who may use it, and keeps to that for every role and method."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from portal.accounts.roles import PERMISSIONS, Role
from portal.checklists.models import Item
from tests.pages.conftest import ClientFor
from tests.pages.plans import make_plan, make_run

METHODS = ("GET", "POST", "PUT", "DELETE")


def views(patterns: Iterable[Any] | None = None, space: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for pattern in get_resolver().url_patterns if patterns is None else patterns:
        if isinstance(pattern, URLResolver):
            found += views(pattern.url_patterns, f"{pattern.namespace}:" if pattern.namespace else space)
        elif isinstance(pattern, URLPattern):
            found.append((f"{space}{pattern.name}", pattern.callback))
    return found


VIEWS = dict(views())


def address(name: str) -> str:
    args: dict[str, tuple[Any, ...]] = {
        "phase": (2, "platform-services"),
        "phase-verify": (2, "platform-services"),
        "action": ("repair-grafana-in-place",),
        "decision": ("grafana",),
        "decision-choose": ("grafana",),
        "action-plan": ("repair-grafana-in-place",),
        "plan-request": ("0" * 26,),
        "report": (999,),
        "report-draft": (999,),
        "report-accept": (999,),
    }
    if name.startswith("item"):
        return reverse(name, args=(Item.objects.get(key="grafana-deployed").pk,))
    if (name.startswith("plan-") and name != "plan-request") or name == "plan":
        return reverse(name, args=("7f3c91d2" * 8,))
    if name.startswith("run") and name != "runs":
        return reverse(name, args=("0" * 26,))
    return reverse(name, args=args.get(name, ()))


def test_every_view_declares_its_permission_and_methods() -> None:
    undeclared = [name for name, view in VIEWS.items() if not hasattr(view, "permission") or not view.methods]
    assert undeclared == []


def test_only_sign_in_and_probes_are_open_to_strangers() -> None:
    assert {name for name, view in VIEWS.items() if view.permission is None} == {
        "accounts:sign-in",
        "healthz",
        "readyz",
    }


def test_every_declared_permission_belongs_to_some_role() -> None:
    known = {name for names in PERMISSIONS.values() for name in names}
    assert {view.permission for view in VIEWS.values()} - {None} <= known


def test_permissions_grow_with_reading_first() -> None:
    viewer = set(PERMISSIONS[Role.VIEWER])
    assert all(viewer <= set(names) for names in PERMISSIONS.values())


@pytest.mark.parametrize("role", [None, *Role])
def test_each_role_gets_what_its_permissions_say_and_nothing_else(role: Role | None, client_for: ClientFor) -> None:
    make_plan()
    for name, view in VIEWS.items():
        if name == "accounts:sign-out":
            continue  # ends the session this test needs
        client = client_for(role)
        for method in METHODS:
            status = client.generic(method, address(name)).status_code
            if view.permission is None:
                expected = status not in (401, 403) if method in view.methods else status == 405
            elif role is None:
                expected = status == 302
            elif view.permission not in PERMISSIONS[role]:
                expected = status == 403
            else:
                expected = status not in (401, 403) if method in view.methods else status == 405
            assert expected, f"{role} {method} {name}: {status}"


def test_a_strangers_script_is_told_401_instead_of_being_redirected(client_for: ClientFor) -> None:
    response = client_for(None).get("/", headers={"HX-Request": "true"})
    assert response.status_code == 401


def test_the_forbidden_page_names_the_role_that_may(client_for: ClientFor) -> None:
    text = client_for(Role.VIEWER).get("/audit/").content.decode()
    assert "This needs role admin" in text
    assert "with role viewer" in text


def test_a_viewer_sees_the_controls_off_with_the_role_named(client_for: ClientFor) -> None:
    make_plan()
    item = client_for(Role.VIEWER).get(address("item")).content.decode()
    assert "Verify now" in item
    assert "needs role operator" in item
    assert 'id="plan-form"' not in item
    plan = client_for(Role.VIEWER).get(address("plan")).content.decode()
    assert "Off: needs role operator." in plan


def test_navigation_offers_only_pages_the_role_may_open(client_for: ClientFor) -> None:
    for role in Role:
        client = client_for(role)
        text = client.get("/").content.decode()
        assert ('href="/audit/"' in text) is (role is Role.ADMIN)


def test_a_run_of_somebody_elses_cluster_object_cannot_be_guessed(client_for: ClientFor) -> None:
    make_run(make_plan())
    assert client_for(Role.VIEWER).get("/runs/" + "0" * 26 + "/").status_code == 404
