"""Asks Prometheus: instant queries through ``prometheus-api-client``, its other read-only paths by plain GET.

Only expressions the portal ships are sent, each with a time limit, four in flight at most: a portal must not be what
overloads Prometheus. An empty result is *no data*, which is for the check to judge. Fails with ``SourceError`` only.
"""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import msgspec

from common.redaction import redact
from integrations import http
from integrations.errors import Rejected, Unreachable, from_status
from integrations.kubernetes.reader import Reader

if TYPE_CHECKING:
    from prometheus_api_client import PrometheusConnect

_IN_FLIGHT = 4
_QUERY_SECONDS = 4
#: stands for the API behind the service proxy; never resolved
_BEHIND_PROXY = "http://prometheus.invalid"


class Vector(NamedTuple):
    """The result of an instant query and the SHA-256 of it as canonical JSON."""

    result: list[Any]
    digest: str


class PrometheusReader:
    """One Prometheus, by URL or through the service proxy. Safe to share between threads."""

    def __init__(self, reader: Reader, url: str = "") -> None:
        self._url = url.rstrip("/")
        self._endpoint = http.endpoint(url, reader, "prometheus")
        self._slots = threading.BoundedSemaphore(_IN_FLIGHT)
        self._client: PrometheusConnect | None = None

    @property
    def address(self) -> str:
        return self._endpoint.address

    def _connect(self) -> PrometheusConnect:
        if self._client is None:
            from prometheus_api_client import PrometheusConnect
            from urllib3.util.retry import Retry

            session = _session(None if self._url else self._endpoint)
            no_retry = Retry(total=0, read=False, raise_on_status=False)
            self._client = PrometheusConnect(
                url=self._url or _BEHIND_PROXY, session=session, retry=no_retry, timeout=http.SECONDS
            )
        return self._client

    def query(self, expr: str) -> Vector:
        """An instant query. :raises Rejected: the expression is not accepted. :raises Unreachable: no answer."""
        import requests

        with self._slots:
            try:
                result = self._connect().custom_query(expr, params={"timeout": f"{_QUERY_SECONDS}s"})
            except requests.Timeout as error:
                raise Unreachable(f"{self.address} did not answer within {http.SECONDS:.0f} s.") from error
            except requests.RequestException as error:
                raise Unreachable(f"{self.address} does not answer: {error}") from error
            except (KeyError, TypeError, ValueError) as error:
                raise Rejected(f"{self.address} answered something that is no query result.", transient=True) from error
        if not isinstance(result, list):
            raise Rejected("The expression gives a single number; the portal asks for vectors.")
        return Vector(result, hashlib.sha256(msgspec.json.encode(result, order="sorted")).hexdigest())

    def get(self, path: str) -> http.Answer:
        """GET a read-only path, ``/api/v1/targets?state=active`` for example. :raises SourceError: nothing answered."""
        with self._slots:
            return self._endpoint.get(path)


def _session(endpoint: http.Endpoint | None) -> Any:
    """A requests session for ``PrometheusConnect``: it raises our errors for bad statuses, and with an ``endpoint``
    sends its GETs there (the service proxy) instead of over a connection of its own."""
    import requests

    class Session(requests.Session):
        def request(self, method: str, url: str, **kwargs: Any) -> requests.Response:  # type: ignore[override]
            kwargs["allow_redirects"] = False
            response = self._proxied(url, kwargs) if endpoint else super().request(method, url, **kwargs)
            if response.status_code != 200:
                raise from_status(response.status_code, _reason(response))
            return response

        @staticmethod
        def _proxied(url: str, kwargs: dict[str, Any]) -> requests.Response:
            assert endpoint is not None
            answer = endpoint.get(f"{urlsplit(url).path}?{urlencode(kwargs.get('params') or {})}")
            response = requests.Response()
            response.status_code = answer.status
            response._content = answer.body  # the only way to make a Response without a socket
            response.reason = answer.error
            return response

    session = Session()
    session.headers["User-Agent"] = "phaseboard"
    return session


def _reason(response: Any) -> str:
    """What Prometheus says is wrong, or what the API server says in its place."""
    try:
        decoded = msgspec.json.decode(response.content)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        decoded = None
    said = decoded.get("error") if isinstance(decoded, dict) else None
    return redact(f"Prometheus: {said or response.reason or 'error'} (HTTP {response.status_code})", 256)
