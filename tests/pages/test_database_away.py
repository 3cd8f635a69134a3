"""What a person sees while the database is away: a quick 503 that says what became of a click, and never a 500."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import InterfaceError, OperationalError, ProgrammingError
from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (OperationalError("database is locked"), 503, "The database does not answer"),
        (OperationalError("server closed the connection unexpectedly"), 503, "send the same form again"),
        (InterfaceError("the connection is closed"), 503, "it counts only once"),
        (ProgrammingError("no such column"), 500, "Something broke here"),
        (RuntimeError("a bug"), 500, "Something broke here"),
    ],
)
@pytest.mark.parametrize("script", [False, True])
def test_the_database_is_told_from_a_bug(
    monkeypatch: pytest.MonkeyPatch, error: Exception, status: int, said: str, script: bool
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr("portal.accounts.views.render", broken)
    client = Client(raise_request_exception=False)
    answer = client.get("/accounts/sign-in/", headers={"HX-Request": "true"} if script else {})
    assert answer.status_code == status and said in answer.content.decode()
    assert answer.headers.get("Retry-After") == ("5" if status == 503 else None)
    assert ("<h1" in answer.content.decode()) is not script
    assert str(error) not in answer.content.decode()


def away(monkeypatch: pytest.MonkeyPatch, method: str = "get", **cookies: str) -> str:
    """The page of a database that is away, with the answer of no query in it."""

    def broken(*_: Any, **__: Any) -> None:
        raise OperationalError("away")

    monkeypatch.setattr("portal.accounts.views.render", broken)
    client = Client(raise_request_exception=False)
    client.cookies.load(cookies)
    answer = getattr(client, method)("/accounts/sign-in/")
    assert answer.status_code == 503
    return str(answer.content.decode())


def test_a_page_that_was_only_read_tries_again_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    page = away(monkeypatch, theme="dark")
    assert '<meta http-equiv="refresh" content="5">' in page and "tries again every 5&nbsp;s" in page
    assert '<a class="btn primary" href="">Try again</a>' in page
    assert "<title>The database does not answer · Phaseboard</title>" in page
    assert 'data-theme="dark"' in page and " UTC" in page and "/static/css/app" in page


def test_a_sent_form_is_not_sent_again_by_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    page = away(monkeypatch, "post", theme="<b>")
    assert "refresh" not in page and "Try again" not in page and "send the same form again" in page
    assert "data-theme" not in page


def test_the_page_needs_no_style_sheet_to_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: str) -> str:
        raise ValueError("Missing staticfiles manifest entry")

    monkeypatch.setattr("portal.views.errors.static", missing)
    page = away(monkeypatch)
    assert "stylesheet" not in page and "The database does not answer" in page
