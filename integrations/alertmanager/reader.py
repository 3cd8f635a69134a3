"""Asks Alertmanager's API v2 (``/api/v2/status``, ``/alerts``). Reads only; fails with ``SourceError``."""

from __future__ import annotations

from integrations import http
from integrations.kubernetes.reader import Reader


class AlertmanagerReader:
    """One Alertmanager, by URL or through the service proxy."""

    def __init__(self, reader: Reader, url: str = "") -> None:
        self._endpoint = http.endpoint(url, reader, "alertmanager")

    @property
    def address(self) -> str:
        return self._endpoint.address

    def get(self, path: str) -> http.Answer:
        """GET a path, ``/api/v2/status`` for example. :raises SourceError: nothing answered."""
        return self._endpoint.get(path)
