"""Messages outside: at least once, in order, bounded, without secrets, from the audit trail alone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from common.models import AuditEvent, audit
from deployments.engine import telling
from deployments.models import Telling
from integrations.errors import Unreachable
from integrations.webhook import writer
from tests.deployments.second_person import Clock

pytestmark = pytest.mark.django_db(transaction=True)


class Channel:
    """A receiver that answers with the statuses it is given, then 200."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.statuses: list[int] = []
        channel = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = msgspec.json.decode(self.rfile.read(int(self.headers["Content-Length"])))
                status = channel.statuses.pop(0) if channel.statuses else 200
                if status < 300:
                    channel.texts.append(body["text"])
                self.send_response(status)
                self.send_header("Location", "http://127.0.0.1:1/")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Silent."""

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/services/T0/B0/canary-token"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock().install(monkeypatch)


@pytest.fixture
def channel(settings: Any, tmp_path: Path) -> Iterator[Channel]:
    found = Channel()
    (tmp_path / "url").write_text(found.url + "\n")
    settings.PORTAL_NOTIFY_URL_FILE, settings.PORTAL_CLUSTER = str(tmp_path / "url"), "demo"
    telling.tell()  # where it begins
    yield found
    found.server.shutdown()
    found.server.server_close()


def stop(reason: str = "the exam") -> AuditEvent:
    return audit(actor="ada", verb="writes.stop", object="cluster:demo", reason=reason, via="page")


def test_without_an_address_nothing_is_kept_or_sent(settings: Any) -> None:
    settings.PORTAL_NOTIFY_URL_FILE = ""
    stop()
    assert telling.tell() == 0
    assert not Telling.objects.exists()


def test_each_message_is_told_once_in_order_and_what_was_before_is_not_news(settings: Any, tmp_path: Path) -> None:
    stop("long ago")
    found = Channel()
    (tmp_path / "url").write_text(found.url)
    settings.PORTAL_NOTIFY_URL_FILE, settings.PORTAL_CLUSTER = str(tmp_path / "url"), "demo"
    assert telling.tell() == 0
    audit(actor="ada", verb="sign-in", object="user:ada")
    stop()
    audit(actor="eve", verb="glass.break", object="run:1", number=7, reason="Grafana is down")
    assert telling.tell() == 2
    assert telling.tell() == 0
    assert [text.split(" (")[0] for text in found.texts] == [
        "Phaseboard: ada stopped all writes to demo. the exam",
        "Phaseboard: eve broke the glass: run 7 on demo goes without a second person. Grafana is down",
    ]
    found.server.shutdown()
    found.server.server_close()


def test_what_is_not_taken_is_tried_again_and_holds_the_next_back(channel: Channel, clock: Clock) -> None:
    channel.statuses = [503, 429]
    stop("first")
    stop("second")
    assert telling.tell() == 0
    assert telling.tell() == 0, "not before its time"
    row = Telling.objects.get()
    assert (row.attempts, row.last_error) == (1, "The notification address answers HTTP 503.")
    clock.turn(seconds=6)
    assert telling.tell() == 0
    clock.turn(seconds=11)
    assert telling.tell() == 2
    assert [text.split(". ")[1].split(" ")[0] for text in channel.texts] == ["first", "second"]
    row.refresh_from_db()
    assert (row.attempts, row.last_error) == (0, "")


def test_it_ends_after_eight_tries_and_the_trail_says_so(channel: Channel, clock: Clock) -> None:
    channel.statuses = [500] * 8
    stop("lost")
    for _ in range(8):
        telling.tell()
        clock.turn(seconds=301)
    given_up = AuditEvent.objects.get(verb="notify.given_up")
    assert given_up.detail == {"of": "writes.stop", "why": "The notification address answers HTTP 500."}
    stop("kept")
    assert telling.tell() == 1
    assert "kept" in channel.texts[0] and len(channel.texts) == 1


def test_who_dies_after_sending_sends_again(channel: Channel, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    stop()

    def sent_and_dead(url: str, text: str) -> None:
        writer_post(url, text)
        raise KeyboardInterrupt

    writer_post = writer.post
    with monkeypatch.context() as patched:
        patched.setattr(writer, "post", sent_and_dead)
        with pytest.raises(KeyboardInterrupt):
            telling.tell()
    assert telling.tell() == 0, "the claim holds for a while: another worker may be sending it"
    clock.turn(seconds=31)
    assert telling.tell() == 1
    assert len(channel.texts) == 2


def test_news_of_yesterday_is_not_told(channel: Channel, clock: Clock) -> None:
    stop()
    clock.turn(hours=25)
    assert telling.tell() == 0
    assert channel.texts == []


def test_a_reason_calls_nobody_and_carries_no_secret(channel: Channel) -> None:
    stop("<!channel> password=canary-Pa55word & more " + "x" * 2000)
    assert telling.tell() == 1
    (text,) = channel.texts
    assert "<" not in text and "&lt;!channel&gt;" in text
    assert "canary-Pa55word" not in text
    assert len(text) < 800


@pytest.mark.parametrize("status", [302, 400, 404, 500])
def test_no_error_names_the_address(channel: Channel, status: int, caplog: pytest.LogCaptureFixture) -> None:
    channel.statuses = [status]
    stop()
    telling.tell()
    stored = Telling.objects.get().last_error
    assert f"HTTP {status}" in stored
    assert "canary" not in stored + caplog.text


def test_no_answer_and_no_file_are_said_without_the_address(settings: Any, tmp_path: Path, channel: Channel) -> None:
    with pytest.raises(Unreachable) as failure:
        writer.post("http://127.0.0.1:1/services/canary-token", "x")
    assert "canary" not in str(failure.value) and failure.value.__cause__ is None
    settings.PORTAL_NOTIFY_URL_FILE = str(tmp_path / "gone")
    stop()
    telling.tell()
    assert "cannot be read" in Telling.objects.get().last_error


def test_two_workers_send_one_message_once(channel: Channel, monkeypatch: pytest.MonkeyPatch) -> None:
    stop()
    row = Telling.objects.get()
    monkeypatch.setattr(telling, "_cursor", lambda: row)  # the second worker read it before the first claimed
    assert telling.tell() == 1
    assert telling.tell() == 0
    assert len(channel.texts) == 1


def test_the_claim_lasts_longer_than_a_try() -> None:
    assert timedelta(seconds=3 * writer.SECONDS) < telling._CLAIMED
