"""304 while nothing was announced; never across people, looks or messages."""

from __future__ import annotations

import pytest
from django.test import Client

from portal.accounts.roles import Role
from tests.pages.conftest import ClientFor

ADDRESSES = ("/", "/phases/", "/phases/2-platform-services/", "/status/")


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The stream's position, settable by the test; the clock of the tag stands still."""
    position = ["1-0"]
    monkeypatch.setattr("portal.middleware.position", lambda: position[0])
    monkeypatch.setattr("portal.views.fresh.time.time", lambda: 1_000_000.0)
    return position


def again(client: Client, address: str, tag: str) -> int:
    return client.get(address, headers={"If-None-Match": tag}).status_code


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_unchanged_page_is_not_sent_again(address: str, client_for: ClientFor, stream: list[str]) -> None:
    client = client_for(Role.VIEWER)
    client.get(address)  # brings the cookie that is part of the tag
    first = client.get(address)
    assert "no-cache" in first["Cache-Control"]
    assert "private" in first["Cache-Control"]
    assert again(client, address, first["ETag"]) == 304


def test_an_announced_change_is_sent(client_for: ClientFor, stream: list[str]) -> None:
    client = client_for(Role.VIEWER)
    client.get("/")
    tag = client.get("/")["ETag"]
    assert again(client, "/", tag) == 304
    stream[0] = "2-0"
    assert again(client, "/", tag) == 200


def test_another_person_and_another_theme_get_their_own_page(client_for: ClientFor, stream: list[str]) -> None:
    client = client_for(Role.VIEWER)
    client.get("/")
    tag = client.get("/")["ETag"]
    assert again(client_for(Role.OPERATOR), "/", tag) == 200
    client.cookies["theme"] = "dark"
    assert again(client, "/", tag) == 200


def test_without_redis_pages_carry_no_tag(client_for: ClientFor, stream: list[str]) -> None:
    stream[0] = ""
    assert "ETag" not in client_for(Role.VIEWER).get("/")


def test_a_stranger_with_a_known_tag_gets_nothing(client_for: ClientFor, stream: list[str]) -> None:
    tag = client_for(Role.VIEWER).get("/")["ETag"]
    assert again(client_for(None), "/", tag) == 302


def test_pages_with_forms_that_count_are_never_cached_by_tag(client_for: ClientFor, stream: list[str]) -> None:
    assert "ETag" not in client_for(Role.OPERATOR).get("/actions/")
