"""Writes to Grafana's HTTP API. Importable by ``deployments.engine`` alone (import-linter holds it to that).

By Grafana's own URL and a service-account token only: the API server's service proxy drops the Authorization header.
Every request is sent once: one whose answer did not arrive raises ``Unreachable`` with ``maybe_done``, and the caller
looks before it acts again. Grafana knows no preconditions of ours; what may be sent is the plan's matter.
"""

from __future__ import annotations

from typing import Any

from integrations import http
from integrations.errors import Rejected, from_status
from integrations.kubernetes.reader import Reader


class GrafanaWriter:
    """The operating identity's hand on one Grafana. The reader is taken so that all service writers are made alike."""

    def __init__(self, _reader: Reader, url: str, token_file: str) -> None:
        self._endpoint = http.ByUrl(url) if url else None
        self._token_file = token_file

    @property
    def address(self) -> str:
        return self._endpoint.address if self._endpoint else "Grafana (no URL)"

    def send(self, method: http.Method, path: str, body: Any = None) -> http.Answer:
        """POST, PUT or DELETE a path, once; the answer's status is less than 400.

        :raises Rejected: no URL or token is configured, or Grafana refuses what was sent.
        :raises Unauthorized, Forbidden: the token is not accepted, or may not. :raises NotFound, Conflict: as said.
        :raises Unreachable: no answer, or a 5xx; ``maybe_done`` says whether it may have happened.
        """
        if self._endpoint is None or not self._token_file:
            raise Rejected("Changing Grafana through its API needs PORTAL_GRAFANA_URL and a token file.")
        answer = self._endpoint.send(method, path, body, token=http.token_of(self._token_file))
        if answer.status >= 300:
            said = answer.error or f"a redirect, which is not followed (HTTP {answer.status})"
            raise from_status(answer.status, f"Grafana answers {method} {path.partition('?')[0]}: {said}", write=True)
        return answer
