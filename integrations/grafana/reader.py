"""Asks Grafana: ``/api/health`` needs no sign-in; everything else needs its URL and a service-account token.

The API server's service proxy drops the Authorization header, so that without ``PORTAL_GRAFANA_URL`` and a token file
only the health can be read; the rest says so instead of guessing. Health goes through the proxy first even when there
is a URL: there "no ready pod behind the Service" is an answer, while a refused connection could be anybody's fault.
Reads only; fails with ``SourceError``.
"""

from __future__ import annotations

from integrations import http
from integrations.errors import Rejected, SourceError
from integrations.kubernetes.reader import Reader

_PUBLIC = ("/api/health",)
#: how the API server says that a Service has no ready pod; that is an answer about Grafana, not about the way to it
_NO_POD = "no endpoints available"


class GrafanaReader:
    """One Grafana, by URL or (its health only) through the service proxy."""

    def __init__(self, reader: Reader, url: str = "", token_file: str = "") -> None:
        self._by_url = http.ByUrl(url) if url else None
        self._by_proxy = http.ByProxy(reader, "grafana")
        self._token_file = token_file

    @property
    def address(self) -> str:
        return self._by_url.address if self._by_url else self._by_proxy.address

    def get(self, path: str) -> http.Answer:
        """GET a path. :raises Rejected: it needs a token and none is configured. :raises SourceError: no answer."""
        if path.partition("?")[0] in _PUBLIC:
            return self._public(path)
        if not (self._by_url and self._token_file):
            raise Rejected(f"Reading Grafana's {path.partition('?')[0]} needs PORTAL_GRAFANA_URL and a token file.")
        return self._by_url.get(path, token=http.token_of(self._token_file))

    def _public(self, path: str) -> http.Answer:
        try:
            answer = self._by_proxy.get(path)
        except SourceError:
            if self._by_url is None:
                raise
            return self._by_url.get(path)
        if self._by_url is not None and answer.status >= 400 and _NO_POD not in answer.error:
            # The API server may not reach or may not be allowed to reach the pod; the URL goes another way.
            return self._by_url.get(path)
        return answer
