"""What hides credentials runs over lines that somebody else wrote: it must be right, and linear in their length."""

from __future__ import annotations

import time

import pytest

from common.redaction import MASK, redact

SECRETS = (
    "authorization: Bearer abcdef123456",
    "Authorization=Basic dXNlcjpwYXNz",
    "bearer abcdef123456",
    'adminPassword: "hunter2 and more"',
    "GF_SECURITY_ADMIN_PASSWORD=hunter2",
    "db.password = 'hunter2'",
    '{"api_key":"hunter2"}',
    "x-secret-thing: hunter2",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
    "AKIAIOSFODNN7EXAMPLE",
    "postgres://grafana:hunter2@db:5432/grafana",
)
PIECES = (
    "a",
    "a.",
    "aaa-",
    "//a:",
    "token ",
    "token",
    "a:b@",
    "eyJa-",
    "a://b:",
    'token="',
    "secret..",
    "bearer ",
    "=",
)


@pytest.mark.parametrize("line", SECRETS)
def test_a_credential_is_masked(line: str) -> None:
    shown = redact(f"level=info {line} end")
    assert MASK in shown
    for secret in ("hunter2", "abcdef123456", "dXNlcjpwYXNz", "MIIE", "AKIAIOSFODNN7EXAMPLE", "eyJzdWIi"):
        assert secret not in shown


def test_what_only_names_a_secret_stays_readable() -> None:
    line = 'secret "kube-prometheus-stack-grafana" not found'
    assert redact(line) == line


@pytest.mark.parametrize("piece", [*PIECES, "authorization:" + " " * 300, "-----BEGIN PRIVATE KEY-----"])
def test_no_line_takes_long(piece: str) -> None:
    """A line made to backtrack took seven seconds once; a log holds hundreds."""
    line = piece * (10_000_000 // len(piece))
    started = time.perf_counter()
    redact(line)
    assert time.perf_counter() - started < 0.5
