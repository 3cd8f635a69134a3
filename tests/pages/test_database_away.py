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
    assert ("<h1>" in answer.content.decode()) is not script
    assert str(error) not in answer.content.decode()
