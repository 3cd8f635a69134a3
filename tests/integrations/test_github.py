"""GitHub's REST API as a client sees it: which host, which words, what may have been done; and never the token."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from common.redaction import redact
from integrations import http
from integrations.errors import (
    Conflict,
    Forbidden,
    NotFound,
    Rejected,
    SourceError,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)
from integrations.github import address
from integrations.github.reader import GitHubReader
from integrations.github.writer import GitHubWriter
from lab.services.http import Answer, answer
from tests.conftest import free_port
from tests.hub import FILE, NAME, READ_ONLY, TOKEN, Hub, make_hub

REPO = f"/repos/{NAME}"
BRANCH = "phaseboard/x-0123456789"


@pytest.fixture
def hub() -> Iterator[Hub]:
    made = make_hub()
    yield made
    made.stop()


@pytest.fixture
def token(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    return path


@pytest.fixture
def reader(hub: Hub, token: Path) -> GitHubReader:
    return GitHubReader(hub.url, str(token))


@pytest.fixture
def writer(hub: Hub, token: Path) -> GitHubWriter:
    return GitHubWriter(hub.url, str(token))


def head(reader: GitHubReader, branch: str = "main") -> str:
    sha: str = reader.get(f"{REPO}/git/ref/heads/{branch}").json()["object"]["sha"]
    return sha


# -- which host


@pytest.mark.parametrize(
    ("url", "remote"),
    [
        ("https://github.com/platform-team/gitops.git", "github.com/platform-team/gitops"),
        ("https://GitHub.com/platform-team/gitops/", "github.com/platform-team/gitops"),
        ("https://www.github.com/a/b", "github.com/a/b"),
        ("https://user:pass@github.com/a/b.git", "github.com/a/b"),
        ("git@github.com:a/b.git", "github.com/a/b"),
        ("ssh://git@github.com/a/b.git", "github.com/a/b"),
        ("ssh://git@ssh.github.com:443/a/b.git", "github.com/a/b"),
        ("ssh://git@git.example.org:2222/a/b.git", "git.example.org/a/b"),
        ("https://git.example.org:8443/a/b", "git.example.org:8443/a/b"),
        ("https://github.com.evil.example/a/b", "github.com.evil.example/a/b"),
        ("https://github.com@evil.example/a/b", "evil.example/a/b"),
    ],
)
def test_a_repositorys_url_becomes_host_owner_and_name(url: str, remote: str) -> None:
    assert address.normalised(url) == remote


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://github.com/only-one",
        "https://github.com/a/b/c",
        "https://github.com/a/..",
        "https://github.com/a/b?x=1",
        "https://github.com/a/b#x",
        "https://github.com/a b/c",
        "https://[::1/a/b",
        "https://github.com:x/a/b",
        "file:///etc/a/b",
        "git@github.com:/etc/passwd",
        "oci://ghcr.io/a/b",
        "/a/b",
    ],
)
def test_what_is_no_repositorys_url_is_none(url: str) -> None:
    assert address.normalised(url) == ""


def test_only_the_configured_host_counts() -> None:
    assert address.host_of("https://api.github.com") == "github.com"
    assert address.host_of("https://git.example.org/api/v3") == "git.example.org"
    assert address.host_of("http://127.0.0.1:8080", "github.com") == "github.com"
    assert address.repository_on("github.com/a/b", "github.com") == "a/b"
    assert address.repository_on("git.example.org/a/b", "github.com") == ""
    assert address.repository_on("", "") == ""
    assert address.web_of("https://api.github.com") == "https://github.com"
    assert address.web_of("https://git.example.org/api/v3") == "https://git.example.org"
    assert address.web_of("http://127.0.0.1:8080") == ""


@pytest.mark.parametrize(
    "url",
    ["http://github.example", "ftp://github.com", "https://", "https://me:x@api.github.com", "https://[", "nonsense"],
)
def test_a_token_is_sent_over_https_or_to_this_machine_alone(url: str, token: Path) -> None:
    with pytest.raises(Rejected, match="PORTAL_GITHUB_URL") as caught:
        GitHubReader(url, str(token)).get("/repos/a/b")
    assert TOKEN not in str(caught.value)


# -- reading


def test_a_file_is_read_with_the_token_and_the_version_of_the_api(hub: Hub, reader: GitHubReader) -> None:
    found = reader.get(f"{REPO}/contents/{FILE}?ref=main").json()
    assert base64.b64decode(found["content"]).decode() == hub.github.repository.files[FILE]
    assert hub.headers[-1]["authorization"] == f"Bearer {TOKEN}"
    assert hub.headers[-1]["x-github-api-version"] == "2022-11-28"


def test_what_is_not_there_is_an_answer_and_no_connection_is_a_sentence(hub: Hub, reader: GitHubReader) -> None:
    assert reader.get(f"{REPO}/git/ref/heads/none").status == 404
    assert reader.get("/repos/other/repository").status == 404
    with pytest.raises(Rejected, match=r"PORTAL_GITHUB_TOKEN_FILE \(docs/github.md\)"):
        GitHubReader(hub.url).connection()
    assert reader.connection().host.startswith("127.0.0.1:")
    assert not reader.connection().installation


def test_the_token_is_read_anew_at_each_use(hub: Hub, token: Path, reader: GitHubReader) -> None:
    token.write_text("ghs_" + "x" * 36)
    assert reader.connection().installation
    with pytest.raises(Unauthorized, match="does not accept the token"):
        reader.get(REPO)
    token.write_text(TOKEN)
    assert reader.get(REPO).status == 200
    for useless in ("", "two words", "a\nb", "tök"):
        token.write_text(useless)
        with pytest.raises(Rejected, match="holds no token"):
            reader.get(REPO)


HTML = Answer(502, {"Content-Type": "text/html"}, b"<html><h1>Unicorn!</h1></html>")


@pytest.mark.parametrize(
    ("given", "kind", "words", "transient"),
    [
        (answer({"message": "Bad credentials"}, 401), Unauthorized, "does not accept the token", True),
        (answer({"message": "Resource not accessible"}, 403), Forbidden, "Resource not accessible", False),
        (answer({"message": "Moved Permanently", "url": "https://evil"}, 301), Rejected, "renamed or moved", False),
        (answer({"message": "No"}, 451), Rejected, "No (HTTP 451)", False),
        (HTML, Unreachable, "HTTP 502", True),
        (HTML._replace(status=404), Rejected, "Is PORTAL_GITHUB_URL the API of GitHub?", False),
        (HTML._replace(status=200), Rejected, "not JSON", False),
    ],
)
def test_each_answer_has_its_own_error(
    hub: Hub, reader: GitHubReader, given: Answer, kind: type[SourceError], words: str, transient: bool
) -> None:
    hub.fail("GET", NAME, given)
    with pytest.raises(kind) as caught:
        reader.get(REPO)
    assert words in str(caught.value)
    assert (caught.value.transient, caught.value.maybe_done) == (transient, False)


@pytest.mark.parametrize(
    ("status", "headers", "message", "seconds"),
    [
        (403, {"Retry-After": "7"}, "You have exceeded a secondary rate limit", 7),
        (429, {"Retry-After": "9"}, "Too many", 9),
        (429, {}, "Too many", 60),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"}, "API rate limit exceeded", 1),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "99999999999"}, "API rate limit exceeded", 3600),
        (403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "soon"}, "API rate limit exceeded", 60),
        (403, {}, "You have exceeded a secondary rate limit. Please wait", 60),
    ],
)
def test_a_rate_limit_is_waited_for_and_is_no_refusal(
    hub: Hub, reader: GitHubReader, status: int, headers: dict[str, str], message: str, seconds: float
) -> None:
    body = json.dumps({"message": message}).encode()
    hub.fail("GET", NAME, Answer(status, {"Content-Type": "application/json", **headers}, body))
    with pytest.raises(TooManyRequests, match="rate limit") as caught:
        reader.get(REPO)
    assert caught.value.transient
    assert caught.value.retry_after == seconds


def test_nobody_listens(token: Path) -> None:
    with pytest.raises(Unreachable) as caught:
        GitHubWriter(f"http://127.0.0.1:{free_port()}", str(token)).send("POST", f"{REPO}/pulls", {"head": BRANCH})
    assert not caught.value.maybe_done


# -- writing


def test_branch_commit_and_pull_request_are_made_once_each(
    hub: Hub, reader: GitHubReader, writer: GitHubWriter
) -> None:
    writer.send("POST", f"{REPO}/git/refs", {"ref": f"refs/heads/{BRANCH}", "sha": head(reader)})
    with pytest.raises(Conflict, match="already exists") as caught:
        writer.send("POST", f"{REPO}/git/refs", {"ref": f"refs/heads/{BRANCH}", "sha": head(reader)})
    assert caught.value.maybe_done  # whoever sent it looks before anything else

    before = reader.get(f"{REPO}/contents/{FILE}?ref={BRANCH}").json()["sha"]
    content = base64.b64encode(b"a: 1\n").decode()
    body = {"message": "m", "branch": BRANCH, "sha": before, "content": content}
    writer.send("PUT", f"{REPO}/contents/{FILE}", body)
    with pytest.raises(Conflict, match="does not match") as caught:
        writer.send("PUT", f"{REPO}/contents/{FILE}", body)
    assert not caught.value.maybe_done  # GitHub says that the file is another: nothing was written

    writer.send("POST", f"{REPO}/pulls", {"title": "t", "head": BRANCH, "base": "main", "body": ""})
    with pytest.raises(Conflict, match="A pull request already exists"):
        writer.send("POST", f"{REPO}/pulls", {"title": "t", "head": BRANCH, "base": "main", "body": ""})
    writer.send("PATCH", f"{REPO}/pulls/1", {"state": "closed"})
    assert writer.send("DELETE", f"{REPO}/git/refs/heads/{BRANCH}").status == 204
    assert [method for method, _ in hub.writes()] == ["POST", "PUT", "POST", "PATCH", "DELETE"]


def test_a_lost_answer_leaves_open_whether_it_was_done(hub: Hub, reader: GitHubReader, writer: GitHubWriter) -> None:
    hub.fail("POST", "/git/refs", after=True)
    with pytest.raises(Unreachable) as caught:
        writer.send("POST", f"{REPO}/git/refs", {"ref": f"refs/heads/{BRANCH}", "sha": head(reader)})
    assert caught.value.maybe_done
    assert len(hub.writes()) == 1  # done, and never repeated
    hub.fail("POST", "/pulls", HTML)
    with pytest.raises(Unreachable) as caught:
        writer.send("POST", f"{REPO}/pulls", {"head": BRANCH})
    assert caught.value.maybe_done


def test_what_a_token_may_not_do_says_what_to_give_it(hub: Hub, token: Path, writer: GitHubWriter) -> None:
    token.write_text(READ_ONLY)
    with pytest.raises(Forbidden, match="Resource not accessible"):
        writer.send("POST", f"{REPO}/git/refs", {"ref": f"refs/heads/{BRANCH}", "sha": "0" * 40})
    with pytest.raises(NotFound, match="Contents and Pull requests: read and write"):
        writer.send("POST", "/repos/other/one/pulls", {"head": BRANCH})
    hub.fail(
        "POST", "/pulls", answer({"message": "Validation Failed", "errors": [{"field": "base", "code": "x"}]}, 422)
    )
    with pytest.raises(Rejected, match="Validation Failed; base: x"):
        writer.send("POST", f"{REPO}/pulls", {"head": BRANCH})
    assert hub.writes() == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", f"{REPO}/pulls/1/merge", {}),
        ("POST", f"{REPO}/merges", {"base": "main", "head": BRANCH}),
        ("PUT", f"{REPO}/contents/{FILE}", {"branch": "main", "content": ""}),
        ("PUT", f"{REPO}/contents/{FILE}", {"content": ""}),
        ("PUT", f"{REPO}/contents/../x", {"branch": BRANCH}),
        ("POST", f"{REPO}/git/refs", {"ref": "refs/heads/main"}),
        ("POST", f"{REPO}/git/refs", {"ref": "refs/tags/v1"}),
        ("POST", f"{REPO}/pulls", {"head": "main", "base": "release"}),
        ("PATCH", f"{REPO}/pulls/1", {"state": "closed", "base": "main"}),
        ("PATCH", f"{REPO}/git/refs/heads/{BRANCH}", {"sha": "0" * 40, "force": True}),
        ("DELETE", f"{REPO}/git/refs/heads/main", None),
        ("DELETE", f"{REPO}/git/refs/heads/{BRANCH}/../main", None),
        ("DELETE", REPO, None),
        ("POST", "/user/repos", {"name": "x"}),
        ("POST", "@evil.example/", {}),
    ],
)
def test_nothing_is_merged_and_no_branch_of_peoples_is_written(
    hub: Hub, writer: GitHubWriter, method: http.Method, path: str, body: Any
) -> None:
    with pytest.raises(Rejected, match="nothing this portal asks"):
        writer.send(method, path, body)
    assert hub.asked == []


def test_a_token_is_hidden_wherever_it_turns_up() -> None:
    for token in (TOKEN, "ghp_" + "a1B2" * 9, "ghs_" + "Z" * 36):
        assert token not in redact(f"remote: {token} is not valid", 500)
