"""Signing in and out: audited in the same transaction, slow to guess, and never a way off the site."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, User
from django.test import Client

from common.models import AuditEvent, broken_links
from portal.accounts.roles import PERMISSIONS, Role, role_of
from portal.accounts.services import MAX_REFUSED, REFUSED, ensure_admin, ensure_demo_users, ensure_roles

pytestmark = pytest.mark.django_db
SIGN_IN = "/accounts/sign-in/"


def sign_in(client: Client, name: str, password: str, **more: str) -> Any:
    return client.post(SIGN_IN, {"username": name, "password": password, **more})


def test_signing_in_starts_a_session_and_writes_one_audit_row() -> None:
    name, password = ensure_demo_users()[0]
    client = Client()
    assert sign_in(client, name, password)["Location"] == "/"
    row = AuditEvent.objects.get()
    assert (row.actor, row.verb, row.object) == (name, "sign-in", f"user:{name}")
    assert broken_links() == []
    assert "sessionid" in client.cookies


def test_no_session_is_kept_when_the_audit_row_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    name, password = ensure_demo_users()[0]

    def fail(**_: object) -> None:
        raise RuntimeError("the audit table is gone")

    monkeypatch.setattr("portal.accounts.views.audit", fail)
    client = Client(raise_request_exception=False)
    assert sign_in(client, name, password).status_code == 500
    assert client.get("/").status_code == 302


def test_a_wrong_password_answers_422_and_is_audited_without_the_password() -> None:
    ensure_demo_users()
    response = sign_in(Client(), "viewer", "my-secret-guess")
    assert response.status_code == 422
    assert "do not match" in response.content.decode()
    assert "my-secret-guess" not in str(AuditEvent.objects.get().detail) + response.content.decode()


def test_a_name_must_wait_after_too_many_refusals_even_with_the_right_password() -> None:
    name, password = ensure_demo_users()[0]
    for _ in range(MAX_REFUSED):
        sign_in(Client(), name, "wrong")
    assert sign_in(Client(), name, password).status_code == 429
    assert AuditEvent.objects.filter(verb=REFUSED).count() == MAX_REFUSED


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:alert(1)"])
def test_next_never_leads_off_the_portal(target: str) -> None:
    name, password = ensure_demo_users()[0]
    assert sign_in(Client(), name, password, next=target)["Location"] == "/"


def test_signing_out_is_audited_and_ends_the_session() -> None:
    ensure_demo_users()
    client = Client()
    client.force_login(User.objects.get(username="viewer"))
    client.post("/accounts/sign-out/")
    assert AuditEvent.objects.get().verb == "sign-out"
    assert client.get("/").status_code == 302


def test_signing_out_by_a_link_is_refused() -> None:
    ensure_demo_users()
    client = Client()
    client.force_login(User.objects.get(username="viewer"))
    assert client.get("/accounts/sign-out/").status_code == 405


def test_the_theme_is_kept_in_a_cookie_and_rendered_by_the_server() -> None:
    ensure_demo_users()
    client = Client()
    client.force_login(User.objects.get(username="viewer"))
    client.post("/accounts/appearance/", {"theme": "dark", "keys": "off", "next": "/gallery/"})
    text = client.get("/gallery/").content.decode()
    assert 'data-theme="dark"' in text
    assert 'data-keys="off"' in text


def test_a_theme_nobody_offers_is_ignored() -> None:
    ensure_demo_users()
    client = Client()
    client.force_login(User.objects.get(username="viewer"))
    client.cookies["theme"] = '"><script>'
    assert "data-theme" not in client.get("/gallery/").content.decode()


def test_roles_hold_exactly_their_permissions_also_after_somebody_added_one() -> None:
    ensure_roles()
    group = Group.objects.get(name=Role.VIEWER.value)
    group.permissions.add(Group.objects.get(name=Role.ADMIN.value).permissions.latest("pk"))
    ensure_roles()
    held = {f"{p.content_type.app_label}.{p.codename}" for p in group.permissions.select_related("content_type")}
    assert held == set(PERMISSIONS[Role.VIEWER])


def test_demo_users_have_their_roles_and_the_passwords_that_are_returned() -> None:
    for name, password in ensure_demo_users() + ensure_demo_users():
        user = User.objects.get(username=name)
        assert user.check_password(password)
        assert role_of(user) == Role(name)


def test_the_first_admin_gets_a_random_password_once() -> None:
    made = ensure_admin()
    assert made is not None
    assert User.objects.get(username="admin").check_password(made[1])
    assert ensure_admin() is None
    assert made[1] not in str(AuditEvent.objects.values_list("detail", flat=True))
