"""Writes to Alertmanager's API v2. Importable by ``deployments.engine`` alone (import-linter holds it to that).

By its own URL, or through the API server's service proxy with the writing identity (verbs ``create`` and ``delete`` on
``services/proxy``). Every request is sent once: one whose answer did not arrive raises ``Unreachable`` with
``maybe_done``, and the caller looks before it acts again.
"""

from __future__ import annotations

from typing import Any

from integrations import http
from integrations.errors import from_status
from integrations.kubernetes.discovery import Target
from integrations.kubernetes.reader import Reader


class AlertmanagerWriter:
    """The operating identity's hand on one Alertmanager. ``reader`` is the writing identity's."""

    def __init__(self, reader: Reader, url: str = "") -> None:
        self._endpoint = http.endpoint(url, reader, "alertmanager")

    @property
    def address(self) -> str:
        return self._endpoint.address

    def proxied(self) -> Target | None:
        """The Service that requests go through by the API server's proxy; None: they go to a URL.

        :raises SourceError: there is no such Service, or no answer.
        """
        return self._endpoint.target() if isinstance(self._endpoint, http.ByProxy) else None

    def send(self, method: http.Method, path: str, body: Any = None) -> http.Answer:
        """POST or DELETE a path of ``/api/v2``, once; the answer's status is less than 300.

        :raises Rejected: Alertmanager refuses what was sent (400: its own words). :raises Forbidden: we may not use the
        service proxy. :raises NotFound: no such Service, or nothing of that id.
        :raises Unreachable: no answer, or a 5xx; ``maybe_done`` says whether it may have happened.
        """
        answer = self._endpoint.send(method, path, body)
        if answer.status >= 300:
            said = _words(answer) or f"a redirect, which is not followed (HTTP {answer.status})"
            raise from_status(
                answer.status, f"Alertmanager answers {method} {path.partition('?')[0]}: {said}", write=True
            )
        return answer


def _words(answer: http.Answer) -> str:
    """Alertmanager says what is wrong as a bare JSON string, or as an object with a message."""
    said = answer.json()
    return f"{said} (HTTP {answer.status})" if isinstance(said, str) and said else answer.error
