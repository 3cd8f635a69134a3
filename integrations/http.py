"""Asks a web API of the platform: by its own URL, or through the API server's service proxy when it has none.

Knows nothing of what is asked. An answer of any status is an answer; no answer is a :class:`SourceError`. Replies are
bounded in size and time, redirects are not followed (our credentials must not travel), nothing is retried. ``send`` is
for the ``writer`` modules alone.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import msgspec

from common.redaction import redact
from integrations.errors import Rejected, SourceError, Unreachable
from integrations.kubernetes.discovery import Finder, Target
from integrations.kubernetes.reader import Reader

if TYPE_CHECKING:
    import httpx

SECONDS = 5.0
#: a write may take longer: Grafana saves to its database before it answers
SEND_SECONDS = 15.0
#: a connection that was not made by then is not made; the API server's proxy has its own
_CONNECT_SECONDS = 2.0
Method = Literal["POST", "PUT", "PATCH", "DELETE"]
MAX_BYTES = 8 * 1024 * 1024


class Answer(NamedTuple):
    """What came back. ``error`` is one sentence when the status is 400 or more. ``headers`` have lower-case names;
    there are none of an answer that came through the proxy."""

    status: int
    body: bytes
    error: str = ""
    headers: Mapping[str, str] = MappingProxyType({})

    @property
    def digest(self) -> str:
        """SHA-256 of the raw body, for the receipt."""
        return hashlib.sha256(self.body).hexdigest()

    def json(self) -> Any:
        """The decoded body; None when it is no JSON (an error page)."""
        try:
            return msgspec.json.decode(self.body)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None


class Endpoint(Protocol):
    """Where a web API is reached."""

    @property
    def address(self) -> str:
        """What a person would call it."""

    def get(self, path: str, *, token: str = "") -> Answer:
        """GET a path (with its query). :raises SourceError: nothing answered, or we may not ask."""

    def send(self, method: Method, path: str, body: Any, *, token: str = "") -> Answer:
        """Send one request, once; ``body`` becomes JSON, None sends none.

        :raises SourceError: nothing answered; ``maybe_done`` when the request may have been made all the same.
        """


class ByUrl:
    """An API at a URL of its own. ``headers`` go with every request."""

    def __init__(self, url: str, headers: Mapping[str, str] = MappingProxyType({})) -> None:
        self._url = url.rstrip("/")
        self._headers = {"User-Agent": "phaseboard", "Accept": "application/json", **headers}
        self._client: httpx.Client | None = None

    @property
    def address(self) -> str:
        return redact(self._url, 200)

    def _http(self) -> httpx.Client:
        import httpx

        if self._client is None:
            self._client = httpx.Client(follow_redirects=False, headers=self._headers)
        return self._client

    def get(self, path: str, *, token: str = "") -> Answer:
        return self._ask("GET", path, None, token, SECONDS)

    def send(self, method: Method, path: str, body: Any, *, token: str = "") -> Answer:
        return self._ask(method, path, body, token, SEND_SECONDS)

    def _ask(self, method: str, path: str, body: Any, token: str, seconds: float) -> Answer:
        import httpx

        headers = {"Authorization": f"Bearer {token}"} if token else {}
        content = None if body is None else msgspec.json.encode(body)
        if content is not None:
            headers["Content-Type"] = "application/json"
        timeout = httpx.Timeout(seconds, connect=_CONNECT_SECONDS)
        write = method != "GET"
        try:
            with self._http().stream(
                method, self._url + path, content=content, headers=headers, timeout=timeout
            ) as response:
                received = b"".join(_bounded(response.iter_bytes(), seconds))
        except Rejected as error:
            raise Rejected(error.sentence, maybe_done=write) from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as error:
            raise Rejected(f"{self.address} is not a URL that can be asked: {error}") from error
        except (httpx.TimeoutException, TimeoutError) as error:
            # a connection that was never made has certainly sent nothing
            sent = not isinstance(error, (httpx.ConnectTimeout, httpx.PoolTimeout))
            said = f"{self.address} did not answer within {seconds if sent else _CONNECT_SECONDS:.0f} s."
            raise Unreachable(said, maybe_done=write and sent) from error
        except httpx.HTTPError as error:
            sent = not isinstance(error, (httpx.ConnectError, httpx.ProxyError))
            raise Unreachable(f"{self.address} does not answer: {error}", maybe_done=write and sent) from error
        status, headers = response.status_code, dict(response.headers.items())
        return Answer(status, received, _error(status, received), headers)


class ByProxy:
    """An API behind a Service of the cluster, reached through the API server. It drops the Authorization header."""

    def __init__(self, reader: Reader, component: str) -> None:
        self._reader = reader
        self._find = Finder(reader, component)

    @property
    def address(self) -> str:
        return f"{self._reader.address} (service proxy)"

    def target(self) -> Target:
        """The Service that is asked, looked up at most once a minute. :raises SourceError: there is none."""
        return self._find()

    def get(self, path: str, *, token: str = "") -> Answer:
        _without(token)
        target = self._find()
        proxied = self._reader.proxy_get(*target, path, timeout=SECONDS)
        if proxied.error:
            # the API server's own answer: the Service is gone or has no ready pod
            self._find.forget()
        error = proxied.error or _error(proxied.status, proxied.body)
        return Answer(proxied.status, proxied.body, error and f"{target}: {error}")

    def send(self, method: Method, path: str, body: Any, *, token: str = "") -> Answer:
        _without(token)
        target = self._find()
        try:
            proxied = self._reader.proxy_send(*target, method, path, body, timeout=SEND_SECONDS)
        except SourceError:
            self._find.forget()
            raise
        error = _error(proxied.status, proxied.body)
        return Answer(proxied.status, proxied.body, error and f"{target}: {error}")


def _without(token: str) -> None:
    if token:
        raise Rejected("The API server's proxy drops the Authorization header: a token needs a URL of its own.")


def endpoint(url: str, reader: Reader, component: str) -> Endpoint:
    """By URL when one is set, else through the proxy."""
    return ByUrl(url) if url else ByProxy(reader, component)


def token_of(path: str) -> str:
    """The content of a token file, read at each use because it is renewed. :raises Rejected: it cannot be read."""
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise Rejected(f"The token file {path} cannot be read: {error.strerror}.") from error


def _bounded(chunks: Iterable[bytes], seconds: float) -> Iterator[bytes]:
    """The chunks, while they are not too many bytes and do not drip for ever. :raises TimeoutError, Rejected:"""
    size, until = 0, time.monotonic() + seconds
    for chunk in chunks:
        size += len(chunk)
        if size > MAX_BYTES:
            raise Rejected(f"The answer is larger than {MAX_BYTES} bytes.")
        if time.monotonic() > until:
            raise TimeoutError
        yield chunk


def _error(status: int, body: bytes) -> str:
    if status < 400:
        return ""
    decoded: Any = None
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    said = decoded.get("message") or decoded.get("error") if isinstance(decoded, Mapping) else None
    return redact(f"{said} (HTTP {status})" if said else f"HTTP {status}", 256)
