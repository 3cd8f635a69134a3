"""Faults on what is behind Services: at the API server's service proxy, and at the services' own listeners."""

from __future__ import annotations

from aiohttp import web

from lab.api import striking
from lab.api.errors import ApiError
from lab.api.faults import TARGETS, Faults
from lab.api.request import Call
from lab.api.striking import Replaced


def target_of(service: str) -> str:
    """The fault target a Service is, or an empty text.

    The chart's Services all begin with "kube-prometheus-stack-", so the last word decides.
    """
    return next((each for each in TARGETS if service.endswith(each)), "")


class ServiceFaults:
    """Strikes at plain listeners, where a refusal is plain text."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    @staticmethod
    def _call(request: web.Request) -> Call:
        return Call(request.method, request.path, request.query, request.headers, verb=request.method.lower())

    async def before(self, service: str, request: web.Request) -> web.StreamResponse | None:
        """An answer that stands for the service's own, or None. Raises ConnectionResetError."""
        if not target_of(service):
            return None
        try:
            await striking.before(self._faults, self._call(request), request, target_of(service))
        except ApiError as refusal:
            return web.Response(status=refusal.code, text=str(refusal), headers=refusal.headers)
        except Replaced as replaced:
            return replaced.answer
        return None

    async def after(self, service: str, request: web.Request, answer: web.Response) -> web.StreamResponse:
        """The answer as the faults leave it. Raises ConnectionResetError."""
        if not target_of(service):
            return answer
        try:
            return await striking.after(self._faults, self._call(request), request, answer, target_of(service))
        except ApiError as refusal:
            return web.Response(status=refusal.code, text=str(refusal), headers=refusal.headers)
