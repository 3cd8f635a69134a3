"""Asks GitHub's REST API, or GitHub Enterprise's. Reads only; fails with ``SourceError``.

One host is asked, the configured one: callers give paths, never URLs, and redirects are not followed. The token is read
at each use, sent in a header and kept nowhere.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from integrations import http
from integrations.errors import Rejected
from integrations.github import address, answers

HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
NOT_CONNECTED = "No GitHub connection: set PORTAL_GITHUB_TOKEN_FILE (docs/github.md)."
#: how an app's installation token begins; GitHub says of such a one no permissions of a user
_INSTALLATION = "ghs_"


@dataclass(frozen=True, slots=True)
class Connection:
    """What may be known of a connection: ``host`` as in the URLs of repositories, whether the token is an app's, and
    where people see it (``https://…``; empty when not by https)."""

    host: str
    installation: bool
    web: str


class GitHub:
    """One GitHub with its token; what the reader and the writer share. Opens no connection until it is asked."""

    def __init__(self, url: str, token_file: str, host: str = "") -> None:
        self._url = url or address.API
        self._token_file = token_file
        self._host = host
        self.endpoint = http.ByUrl(self._url, HEADERS)

    def token(self) -> str:
        """The token as it is now. :raises Rejected: none is configured, or it may not be sent there."""
        if not self._token_file:
            raise Rejected(NOT_CONNECTED)
        wrong = address.usable(self._url)
        if wrong:
            raise Rejected(wrong)
        token = http.token_of(self._token_file)
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise Rejected("The file in PORTAL_GITHUB_TOKEN_FILE holds no token.")
        return token

    def connection(self) -> Connection:
        """:raises Rejected: there is none."""
        installation = self.token().startswith(_INSTALLATION)
        return Connection(address.host_of(self._url, self._host), installation, address.web_of(self._url))


class GitHubReader:
    """Reads one GitHub."""

    def __init__(self, url: str = "", token_file: str = "", host: str = "") -> None:
        self._github = GitHub(url, token_file, host)

    @property
    def address(self) -> str:
        return self._github.endpoint.address

    def connection(self) -> Connection:
        """:raises Rejected: no token is configured, or it cannot be used."""
        return self._github.connection()

    def get(self, path: str) -> http.Answer:
        """GET a path (``/repos/…``): status 200, or 404 for what is not there or not to be seen with this token.

        :raises Rejected: no connection, or an answer that is not GitHub's. :raises Unauthorized, Forbidden:
        :raises TooManyRequests: the rate limit is used up. :raises Unreachable: no answer, or a 5xx.
        """
        answer = self._github.endpoint.get(path, token=self._github.token())
        error = answers.failure(answer, f"GET {path.partition('?')[0]}", now=time.time(), write=False)
        if error is not None:
            raise error
        return answer
