"""The live stream over real HTTP: uvicorn, a real Redis and real sessions; only the rows' HTML is made up."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
import uvicorn
from django.contrib.auth.models import Group, User
from django.test import Client

from common import publish
from common.clock import now
from portal import live, visitors
from portal.accounts.roles import Role
from tests.conftest import RedisServer, free_port

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.redis]


class FakeRows:
    """Rows as the pages have them, with words that tests can change."""

    def __init__(self) -> None:
        self.words: dict[str, str] = {}
        self.renders: list[tuple[str, Role]] = []
        self.due: dict[str, datetime] = {}

    def render(self, topic: str, role: Role) -> list[str]:
        self.renders.append((topic, role))
        return [
            f"<hx-partial hx-target='#{topic}'>{topic} {self.words.get(topic, 'pending')} for {role}</hx-partial>\n"
        ]

    def render_all(self, topics: Any, role: Role) -> dict[str, list[str]]:
        return {topic: self.render(topic, role) for topic in topics}

    def spread(self, topics: Any) -> set[str]:
        return set(topics)

    def allowed(self, topic: str, role: Role) -> bool:
        return topic.startswith("item:") or (topic.startswith("audit:") and role == Role.ADMIN)

    def falls_due(self, topics: Any) -> dict[str, datetime]:
        return {topic: at for topic, at in self.due.items() if topic in topics}


class Page:
    """An open page: reads its stream in a thread and keeps what came."""

    def __init__(self, base: str, cookies: dict[str, str], topics: str, since: str = "", last_id: str = "") -> None:
        self.lines: list[str] = []
        self.status = 0
        self.ended = threading.Event()
        self._opened = threading.Event()
        self._leave = threading.Event()
        headers = {"Last-Event-ID": last_id} if last_id else {}
        self._args = (f"{base}/live/?topics={topics}&since={since}", cookies, headers)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        assert self._opened.wait(5), "the stream did not answer"

    def _read(self) -> None:
        url, cookies, headers = self._args
        try:
            with httpx.stream("GET", url, cookies=cookies, headers=headers, timeout=30, trust_env=False) as response:
                self.status = response.status_code
                self._opened.set()
                for line in response.iter_lines():
                    self.lines.append(line)
                    if self._leave.is_set():
                        return
        except httpx.HTTPError:
            pass
        finally:
            self._opened.set()
            self.ended.set()

    def leave(self) -> None:
        self._leave.set()

    @property
    def last_id(self) -> str:
        return [line[4:] for line in self.lines if line.startswith("id: ")][-1]

    def has(self, text: str) -> bool:
        return any(text in line for line in self.lines)


def wait_until(condition: Callable[[], object], seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "did not become true in time"
        time.sleep(0.01)


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> FakeRows:
    fake = FakeRows()
    monkeypatch.setattr(live, "rows", fake)
    monkeypatch.setattr(visitors, "known", fake)
    return fake


@pytest.fixture
def base(rows: FakeRows, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    from portal.asgi import application

    monkeypatch.setattr(live, "hub", live.Hub())
    port = free_port()
    config = uvicorn.Config(application, port=port, log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started)
    yield f"http://127.0.0.1:{port}"
    live.hub.leaving = True
    server.should_exit = True
    thread.join(5)


def person(role: Role) -> User:
    user = User.objects.create_user(role.value, password="irrelevant")
    user.groups.add(Group.objects.get_or_create(name=role.value)[0])
    return user


def signed_in(user: User) -> dict[str, str]:
    client = Client()
    client.force_login(user)
    return {"sessionid": client.session.session_key or ""}


def announce(*topics: str) -> None:
    publish.publish(*topics)


def test_a_changed_row_reaches_every_open_page_that_asked_and_no_other(base: str, rows: FakeRows) -> None:
    cookies = signed_in(person(Role.VIEWER))
    first, second = (Page(base, cookies, "item:1,item:2") for _ in range(2))
    other = Page(base, cookies, "item:3")
    wait_until(lambda: all(page.has("pending") for page in (first, second, other)))

    rows.words["item:2"] = "verified"
    announce("item:2")

    wait_until(lambda: first.has("item:2 verified") and second.has("item:2 verified"))
    assert not other.has("item:2")
    assert not first.has("item:1 verified")


def test_a_row_is_rendered_once_per_role_however_many_pages_are_open(base: str, rows: FakeRows) -> None:
    user = person(Role.VIEWER)
    pages = [Page(base, signed_in(user), "item:1") for _ in range(5)]
    wait_until(lambda: all(page.has("pending") for page in pages))
    rows.renders.clear()

    rows.words["item:1"] = "failing"
    announce("item:1")

    wait_until(lambda: all(page.has("item:1 failing") for page in pages))
    assert rows.renders == [("item:1", Role.VIEWER)]


def test_a_reconnect_gets_what_it_missed_and_only_that(base: str, rows: FakeRows) -> None:
    cookies = signed_in(person(Role.VIEWER))
    page = Page(base, cookies, "item:1,item:2")
    wait_until(lambda: page.has("item:1 pending"))
    rows.words["item:1"] = "failing"
    announce("item:1")
    wait_until(lambda: page.has("item:1 failing"))
    last_id = page.last_id
    page.leave()

    rows.words["item:2"] = "verified"
    announce("item:2")
    back = Page(base, cookies, "item:1,item:2", last_id=last_id)

    wait_until(lambda: back.has("item:2 verified"))
    assert not back.has("item:1 failing")


def test_a_page_that_changed_between_rendering_and_connecting_is_told(base: str, rows: FakeRows) -> None:
    cookies = signed_in(person(Role.VIEWER))
    announce("item:9")
    since = publish.position()
    rows.words["item:1"] = "verified"
    announce("item:1")

    page = Page(base, cookies, "item:1,item:2", since=since)

    wait_until(lambda: page.has("item:1 verified"))
    assert not page.has("item:2 pending")


def test_an_id_from_before_a_lost_redis_gets_everything(base: str, rows: FakeRows, redis_server: RedisServer) -> None:
    cookies = signed_in(person(Role.VIEWER))
    redis_server.stop()
    redis_server.start()

    page = Page(base, cookies, "item:1,item:2", last_id="1763900000000-0")

    wait_until(lambda: page.has("item:1 pending") and page.has("item:2 pending"))


def test_signed_out_is_401_and_another_roles_topic_is_refused_on_connect_and_reconnect(base: str) -> None:
    viewer, admin = signed_in(person(Role.VIEWER)), signed_in(person(Role.ADMIN))

    assert Page(base, {}, "item:1").status == 401
    assert Page(base, {"sessionid": "made-up"}, "item:1").status == 401
    assert Page(base, viewer, "audit:1").status == 403
    assert Page(base, viewer, "audit:1", last_id="1-0").status == 403
    mixed = Page(base, viewer, "item:1,audit:1")
    assert mixed.status == 200
    assert Page(base, admin, "audit:1").status == 200
    announce("audit:1", "item:1")
    wait_until(lambda: mixed.has("item:1"))
    assert not mixed.has("audit:1")


@pytest.mark.parametrize("change", ["logout", "disabled", "demoted"])
def test_a_stream_ends_within_five_seconds_when_its_right_ends(base: str, change: str) -> None:
    user = person(Role.OPERATOR)
    cookies = signed_in(user)
    page = Page(base, cookies, "item:1")
    wait_until(lambda: page.has("pending"))

    if change == "logout":
        from django.contrib.sessions.models import Session

        Session.objects.all().delete()
    elif change == "disabled":
        User.objects.filter(pk=user.pk).update(is_active=False)
    else:
        user.groups.set([Group.objects.get_or_create(name="viewer")[0]])
    announce(f"session:{user.pk}")

    assert page.ended.wait(5)
    assert page.has("event: bye")


def test_a_row_that_falls_due_is_rendered_anew_without_any_message(base: str, rows: FakeRows) -> None:
    page = Page(base, signed_in(person(Role.VIEWER)), "item:1")
    wait_until(lambda: page.has("pending"))

    rows.due["item:1"] = now() + timedelta(seconds=1)
    rows.words["item:1"] = "stale"

    wait_until(lambda: page.has("item:1 stale"), seconds=12)


def test_without_redis_pages_stay_live_and_recover(base: str, rows: FakeRows, redis_server: RedisServer) -> None:
    page = Page(base, signed_in(person(Role.VIEWER)), "item:1")
    wait_until(lambda: page.has("pending"))

    redis_server.stop()
    rows.words["item:1"] = "failing"
    wait_until(lambda: page.has("item:1 failing"), seconds=8)
    redis_server.start()
    wait_until(lambda: live.hub.redis_answers, seconds=8)
    rows.words["item:1"] = "verified"
    announce("item:1")

    wait_until(lambda: page.has("item:1 verified"))


def test_with_a_silent_redis_pages_stay_live(base: str, rows: FakeRows, redis_server: RedisServer) -> None:
    page = Page(base, signed_in(person(Role.VIEWER)), "item:1")
    wait_until(lambda: page.has("pending"))

    redis_server.signal(signal.SIGSTOP)
    try:
        rows.words["item:1"] = "failing"
        wait_until(lambda: page.has("item:1 failing"), seconds=12)
    finally:
        redis_server.signal(signal.SIGCONT)


def test_windows_beyond_four_of_a_browser_take_turns(base: str, rows: FakeRows) -> None:
    """A browser has six connections to a host over HTTP/1.1: streams may not take the last of them."""
    user = person(Role.VIEWER)
    cookies = signed_in(user)
    lasting = [Page(base, cookies, "item:1") for _ in range(live.LASTING_PER_SESSION)]
    wait_until(lambda: all(page.has("pending") for page in lasting))
    fifth = Page(base, cookies, "item:1")
    assert fifth.ended.wait(5), "it holds its connection"
    assert fifth.has("pending") and fifth.has("brief") and fifth.has(f"retry: {live.AGAIN_MS}")
    assert not any(page.has("brief") or page.ended.is_set() for page in lasting)
    assert not Page(base, signed_in(user), "item:1").has("brief"), "another browser has its own"

    rows.words["item:1"] = "failing"
    announce("item:1")
    wait_until(lambda: lasting[0].has("item:1 failing"))
    again = Page(base, cookies, "item:1", last_id=fifth.last_id)
    assert again.ended.wait(5)
    assert again.has("item:1 failing"), "what came between two turns is not lost"
    quiet = Page(base, cookies, "item:1", last_id=again.last_id)
    assert quiet.ended.wait(5)
    assert not quiet.has("item:1"), "nothing new, nothing sent"

    lasting[0].leave()
    rows.words["item:1"] = "verified"
    announce("item:1")  # it notices at the next line
    assert lasting[0].ended.wait(5)
    wait_until(lambda: not Page(base, cookies, "item:1").has("brief"))


def test_an_ordinary_page_is_served_beside_the_streams(base: str) -> None:
    answer = httpx.get(f"{base}/healthz", trust_env=False)

    assert answer.status_code == 200


def test_asking_for_nothing_or_too_much_is_refused(base: str) -> None:
    cookies = signed_in(person(Role.VIEWER))

    assert Page(base, cookies, "").status == 400
    assert Page(base, cookies, ",".join(f"item:{n}" for n in range(live.MAX_TOPICS + 1))).status == 400
