"""One connection pool to one API server, by the official client: credentials, timeouts, rate, errors.

Knows HTTP and nothing of resources. The ``kubernetes`` package is imported on first use, so that a process that never
opens a cluster does not pay for it. Fails with :mod:`integrations.errors` only.

Facts it is built on (kubernetes 37.0.1): urllib3 below re-sends a DELETE up to four times unless ``retries`` is False;
a kubeconfig's token file is read once, so after a 401 we load the kubeconfig anew and try once more.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec

from common.redaction import redact
from integrations.errors import Rejected, SourceError, TooManyRequests, Unauthorized, Unreachable, from_status

_log = logging.getLogger(__name__)

CONNECT_SECONDS = 3.0
READ_SECONDS = 15.0
#: a reply bigger than this is refused (a page of 500 pods is about 2 MB)
MAX_BYTES = 64 * 1024 * 1024
_RETRY_AFTER_LIMIT = 5.0
_RETRIES = 2
_RELOAD_SECONDS = 60.0
#: how often to look whether the kubeconfig was written anew
_LOOK_SECONDS = 2.0
_ACCEPT = "application/json"


class Status(msgspec.Struct, frozen=True):
    """The API server's error body."""

    kind: str = ""
    message: str = ""
    reason: str = ""
    code: int = 0
    details: Any = None

    @property
    def causes(self) -> tuple[dict[str, Any], ...]:
        """``{"reason", "message", "field"}`` per field, bounded and redacted: servers quote what they were sent."""
        found = self.details.get("causes") if isinstance(self.details, dict) else None
        if not isinstance(found, list):
            return ()
        return tuple(
            {str(key): redact(str(value), 256) for key, value in cause.items()}
            for cause in found
            if isinstance(cause, dict)
        )


_status_decoder = msgspec.json.Decoder(Status, strict=False)


def status_of(body: bytes) -> Status:
    """The body as a Status; an empty one when it is something else (a proxy's HTML page)."""
    try:
        return _status_decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Status()


class Bucket:
    """A token bucket, so that a storm of ours is never the incident. ``take`` waits its turn."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self._burst = rate, burst
        self._tokens, self._at = burst, time.monotonic()
        self._lock = threading.Lock()

    def take(self) -> None:
        with self._lock:
            moment = time.monotonic()
            self._tokens = min(self._burst, self._tokens + (moment - self._at) * self._rate) - 1
            self._at = moment
            wait = -self._tokens / self._rate
        if wait > 0:
            time.sleep(wait)


class Connection:
    """Requests to one API server. Safe to share between threads; one per process and identity."""

    def __init__(self, kubeconfig: str, context: str = "", *, rate: float = 25.0, burst: float = 50.0) -> None:
        self._kubeconfig, self._context = kubeconfig, context
        self._bucket = Bucket(rate, burst)
        self._lock = threading.Lock()
        self._loaded_at = 0.0
        self._client: Any = None
        self._auth_generation = 0
        #: credentials lie in a file that somebody else renews
        self._rotates = False
        self._written_at = 0
        self._looked_at = 0.0
        self._load()

    def _load(self) -> None:
        from kubernetes import client, config

        configuration = client.Configuration(retries=False, connection_pool_maxsize=40)
        configuration.keep_alive = True
        written_at = _changed_at(self._kubeconfig)
        try:
            if self._kubeconfig:
                if not Path(self._kubeconfig).is_file():
                    raise Rejected(f"The kubeconfig {self._kubeconfig} does not exist.")
                self._rotates = "tokenFile" in Path(self._kubeconfig).read_text()
                config.load_kube_config(
                    config_file=self._kubeconfig,
                    context=self._context or None,
                    client_configuration=configuration,
                    persist_config=False,
                )
            elif os.environ.get("KUBERNETES_SERVICE_HOST"):
                config.load_incluster_config(client_configuration=configuration)
            else:
                raise Rejected("No cluster is configured: set PORTAL_KUBECONFIG to the path of a kubeconfig.")
        except SourceError:
            raise
        except Exception as error:  # the loader raises many unrelated kinds for one thing: an unusable kubeconfig
            raise Rejected(f"The kubeconfig cannot be used: {error}") from error
        if not configuration.verify_ssl:
            import urllib3

            _log.warning("The certificate of %s is not verified: its kubeconfig says so.", configuration.host)
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        self._client = client.ApiClient(configuration)
        self._client.user_agent = "phaseboard"
        self._loaded_at = time.monotonic()
        self._written_at = written_at
        self._auth_generation += 1

    @property
    def address(self) -> str:
        return str(self._client.configuration.host)

    @property
    def server(self) -> str:
        """Which server this is: another address or another CA is another server, whose versions mean something else."""
        return f"{self.address} {self._client.configuration.ssl_ca_cert}"

    @property
    def kubeconfig_user(self) -> str:
        """The user's name in the kubeconfig; empty in a cluster."""
        if not self._kubeconfig:
            return ""
        from kubernetes import config

        contexts, active = config.list_kube_config_contexts(config_file=self._kubeconfig)
        chosen = next((c for c in contexts if c["name"] == self._context), active)
        return str((chosen or {}).get("context", {}).get("user", ""))

    def bearer(self) -> str:
        """The bearer token in use (for reading its own subject only); empty with client certificates."""
        value = self._auth_headers(self._client).get("authorization", "")
        scheme, _, token = value.partition(" ")
        return token if scheme.lower() == "bearer" else ""

    def refresh(self, generation: int) -> None:
        """Read the credentials again, once for all threads that saw the same generation fail.

        A kubeconfig that cannot be used at this moment (half written) leaves the old credentials in place.
        """
        with self._lock:
            if self._auth_generation != generation:
                return
            old = self._client
            try:
                self._load()
            except SourceError as error:
                _log.warning("the credentials cannot be read again: %s", error.sentence)
                return
            old.rest_client.pool_manager.clear()

    def _outdated(self) -> bool:
        """Whether the kubeconfig was written anew (another CA or port), or a token file is due to be read again."""
        moment = time.monotonic()
        if self._rotates and moment - self._loaded_at > _RELOAD_SECONDS:
            return True
        if not self._kubeconfig or moment - self._looked_at < _LOOK_SECONDS:
            return False
        self._looked_at = moment
        return _changed_at(self._kubeconfig) not in (0, self._written_at)

    @staticmethod
    def _auth_headers(client: Any) -> dict[str, str]:
        headers: dict[str, str] = {}
        for setting in client.configuration.auth_settings().values():
            if setting["value"]:
                headers[setting["key"]] = setting["value"]
        return headers

    def open(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        *,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = _ACCEPT,
        timeout: tuple[float, float] = (CONNECT_SECONDS, READ_SECONDS),
    ) -> Any:
        """Send one request, return urllib3's response with the body unread (any status).

        After a 401 the credentials are read again and the request is sent once more: a 401 was never carried out.
        :raises Unreachable: nothing answered; ``maybe_done`` when a write may have been sent.
        """
        self._bucket.take()
        response = None
        for attempt in (0, 1):
            if self._outdated():
                self.refresh(self._auth_generation)
            generation = self._auth_generation
            response = self._send(method, path, query, body, content_type, accept, timeout)
            if response.status != 401 or attempt:
                break
            response.drain_conn()
            self.refresh(generation)
        return response

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: Any,
        content_type: str,
        accept: str,
        timeout: tuple[float, float],
    ) -> Any:
        import urllib3

        client = self._client
        headers = {"Accept": accept, "User-Agent": "phaseboard", **self._auth_headers(client)}
        payload = None
        if body is not None:
            headers["Content-Type"] = content_type
            payload = body if isinstance(body, (str, bytes)) else msgspec.json.encode(body)
        url = self.address + path + (f"?{urlencode(query)}" if query else "")
        write = method not in ("GET", "HEAD")
        try:
            # redirect=False: our credentials must not follow a redirect to another host
            return client.rest_client.pool_manager.request(
                method,
                url,
                body=payload,
                headers=headers,
                timeout=urllib3.Timeout(connect=timeout[0], read=timeout[1]),
                preload_content=False,
                redirect=False,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise unreachable(error, self.address, write=write) from error

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        *,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = _ACCEPT,
        timeout: tuple[float, float] = (CONNECT_SECONDS, READ_SECONDS),
        limit: int = MAX_BYTES,
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """One request and its whole body, any status. :raises Unreachable: as :meth:`open`, or the body broke off."""
        response = self.open(method, path, query, body=body, content_type=content_type, accept=accept, timeout=timeout)
        data = self._body(response, limit, write=method not in ("GET", "HEAD"))
        return int(response.status), data, response.headers

    def _body(self, response: Any, limit: int, *, write: bool) -> bytes:
        import urllib3

        try:
            # A read without an amount is four times as cheap; a declared length bounds it.
            declared = response.headers.get("Content-Length", "")
            bounded = declared.isdigit() and int(declared) <= limit
            data: bytes = response.read() if bounded else response.read(limit + 1)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            response.close()
            raise unreachable(error, self.address, write=write) from error
        if len(data) > limit:
            response.close()
            raise Rejected(f"The answer is larger than {limit} bytes.")
        response.release_conn()
        return data

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        *,
        body: Any = None,
        content_type: str = "application/json",
        timeout: tuple[float, float] = (CONNECT_SECONDS, READ_SECONDS),
    ) -> bytes:
        """The body of a 2xx answer. :raises SourceError: any other status.

        A GET that is told ``Retry-After`` of up to 5 s waits and asks again, twice at most; a write is sent once.
        """
        write = method not in ("GET", "HEAD")
        for attempt in range(_RETRIES + 1):
            status, data, headers = self.request(
                method, path, query, body=body, content_type=content_type, timeout=timeout
            )
            if status < 400:
                return data
            error = error_of(status, data, headers, write=write)
            wait = error.retry_after
            slow_down = isinstance(error, TooManyRequests) or status == 503
            if write or attempt == _RETRIES or not slow_down or wait is None or wait > _RETRY_AFTER_LIMIT:
                raise error
            # up to a tenth more, so that all who were turned away do not come back in the same moment
            time.sleep(wait * random.uniform(1.0, 1.1))  # noqa: S311
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Close idle connections."""
        self._client.rest_client.pool_manager.clear()


def _changed_at(path: str) -> int:
    """A file's modification time in nanoseconds; 0 when there is none (it may be in the middle of being replaced)."""
    try:
        return Path(path).stat().st_mtime_ns if path else 0
    except OSError:
        return 0


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds of a ``Retry-After`` header, or None. The date form is not used by API servers."""
    value = headers.get("Retry-After", "")
    return float(value) if value.isdigit() else None


def error_of(status: int, body: bytes, headers: Mapping[str, str], *, write: bool = False) -> SourceError:
    """The error a non-2xx answer means."""
    parsed = status_of(body)
    message = parsed.message or body[:200].decode("utf-8", "replace").strip() or f"HTTP {status}"
    if status == 401:
        return Unauthorized(f"The API server does not accept our credentials (401): {message}", status=401)
    return from_status(
        status,
        f"{message} (HTTP {status})",
        retry_after=retry_after(headers),
        causes=parsed.causes,
        reason=parsed.reason,
        write=write,
    )


def unreachable(error: Exception, address: str, *, write: bool = False) -> Unreachable:
    """A urllib3 or socket error as a sentence; a connection that was never made has certainly sent nothing."""
    import urllib3

    inner = getattr(error, "reason", None) or error
    never_sent = isinstance(
        inner,
        (
            urllib3.exceptions.NewConnectionError,
            urllib3.exceptions.ConnectTimeoutError,
            urllib3.exceptions.NameResolutionError,
            urllib3.exceptions.SSLError,
        ),
    )
    if isinstance(inner, urllib3.exceptions.NewConnectionError):  # a subclass of ConnectTimeoutError
        why = "the connection was refused" if "refused" in str(inner) else "no connection could be made"
    elif isinstance(inner, urllib3.exceptions.ConnectTimeoutError):
        why = "the connection timed out"
    elif isinstance(inner, urllib3.exceptions.ReadTimeoutError):
        why = "it accepted the request and then stayed silent"
    else:
        why = str(inner)
    return Unreachable(f"{address} does not answer: {why}.", maybe_done=write and not never_sent)
