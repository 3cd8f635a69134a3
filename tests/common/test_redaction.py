"""What hides credentials runs over lines that somebody else wrote: it must be right, and linear in their length."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.redaction import MASK, is_sensitive_key, redact

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


NAMING = ("existingSecret", "secretName", "secret_name", "SECRET-REF", "secretKeyRef", "passwordKey", "imagePullSecret")
HOLDING = ("password", "Token", "secret", "apiKey", "api-key", "PASSWORD", "clientSecret", "secretKey")
REFERENCES = (
    "admin: {existingSecret: grafana-admin, userKey: admin-user, passwordKey: admin-password}",
    'secretName: "kube-prometheus-stack-grafana"',
    '"secretKeyRef":{"name":"grafana-admin","key":"admin-password"}',
    "valueFrom: {secretKeyRef: {name: grafana-admin, key: admin-password}}",
    "spec.env[0].valueFrom.secretKeyRef.name: grafana-admin",
    "imagePullSecrets: [registry]",
    "automountServiceAccountToken: false",
    "MY_SECRET_NAME=database",
)


@pytest.mark.parametrize("line", REFERENCES)
def test_the_name_of_a_secret_is_no_credential(line: str) -> None:
    assert redact(line) == line


@pytest.mark.parametrize(
    "line", ["secretName: password: hunter2", "existingSecret: token=hunter2", "token: password: 'hunter2'"]
)
def test_a_key_in_the_place_of_a_value_hides_its_own(line: str) -> None:
    assert "hunter2" not in redact(line)


@given(
    before=st.sampled_from(["", "admin", "auth.", "GF_", "x-"]),
    names=st.lists(st.sampled_from(NAMING), max_size=2),
    holds=st.sampled_from(HOLDING),
    between=st.sampled_from([": ", "=", '": "', " = '"]),
    around=st.sampled_from(["{}", "level=info {} end", "a: b, {}", "secretName: db, {}", "{} existingSecret: db"]),
    value=st.text("ABCdef0189+/-_.=", min_size=8, max_size=40),
)
def test_a_credential_is_hidden_whatever_names_a_secret_around_it(
    before: str, names: list[str], holds: str, between: str, around: str, value: str
) -> None:
    """The end of a key decides: ``existingSecretPassword`` holds one, however it begins."""
    key = f"{before}{''.join(names)}{holds}"
    closing = between[-1] if between[-1] in "\"'" else ""
    shown = redact(around.format(f"{key}{between}{value}{closing}"))
    assert is_sensitive_key(key)
    assert value not in shown and MASK in shown


@given(
    naming=st.sampled_from(NAMING),
    value=st.text("ab1$!@#%:", min_size=6, max_size=40).filter(lambda v: set(v) & set("$!@#%:")),
)
def test_what_cannot_be_a_name_is_hidden_under_a_naming_key_too(naming: str, value: str) -> None:
    assert value not in redact(f"{naming}: {value} end")


@pytest.mark.parametrize("piece", [*PIECES, "authorization:" + " " * 300, "-----BEGIN PRIVATE KEY-----"])
def test_no_line_takes_long(piece: str) -> None:
    """A line made to backtrack took seven seconds once; a log holds hundreds."""
    line = piece * (10_000_000 // len(piece))
    started = time.perf_counter()
    redact(line)
    assert time.perf_counter() - started < 0.5
