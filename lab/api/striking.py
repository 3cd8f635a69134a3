"""What a fault does to a request, to its answer, and to the lines of a watch.

`before` is asked when a request has come, `after` when it was accepted and its effect made: a strike there takes the
answer, never the effect. `write` is asked for every chunk of a watch.
"""

from __future__ import annotations

import asyncio

from aiohttp import web

from lab.api import errors
from lab.api.errors import STALE, ApiError
from lab.api.faults import AFTER, BEFORE, Fault, Faults
from lab.api.rbac import denial
from lab.api.request import Call

_SLICE = 4096
_SLOW_SECONDS = 0.2
_PAGE = """<!DOCTYPE html>
<html><head><title>{code} {word}</title></head>
<body><center><h1>{code} {word}</h1></center><hr><center>nginx/1.24.0 (Ubuntu)</center></body></html>
"""
_AT_START = ("status", "reset", "silence", "delay", "end")  # of a watch; the others strike its lines
_AT_LINES = ("silence", "delay", "slow", "truncate")
_WORDS = {200: "Sign in", 401: "Authorization Required", 403: "Forbidden", 502: "Bad Gateway", 504: "Gateway Time-out"}


class Replaced(Exception):  # noqa: N818 - no error of ours: the answer that the fault gives instead
    """The request is answered by the fault and never reaches the API."""

    def __init__(self, answer: web.Response) -> None:
        super().__init__("answered by a fault")
        self.answer = answer


async def before(faults: Faults, call: Call, request: web.Request, target: str = "api") -> None:
    """Delay, refuse, reset or hang the request as the faults say.

    Raises ApiError, ConnectionResetError when the connection is gone, Replaced when a page stands for the answer.
    """
    for fault in faults.striking(target, call, BEFORE, _AT_START if target == "watch" else ()):
        match fault.kind:
            case "delay":
                await asyncio.sleep(faults.seconds(fault))
            case "status":
                raise refusal(fault, call)
            case "end":
                raise Replaced(web.Response(content_type="application/json"))
            case "conflict":
                raise errors.conflict(call.plural, call.group, call.name, STALE)
            case "touch" if faults.rival is not None:
                faults.rival(call)
            case "reset":
                abort(request)
                raise ConnectionResetError("injected reset")
            case "silence":
                await faults.silence(fault)
            case "html":
                raise Replaced(page(int(fault.value or 502)))


async def after(
    faults: Faults, call: Call, request: web.Request, answer: web.StreamResponse, target: str = "api"
) -> web.StreamResponse:
    """The answer as the faults leave it. Answers that stream, and refusals, are not touched.

    Raises ApiError, ConnectionResetError when the answer is lost.
    """
    if not isinstance(answer, web.Response) or answer.status >= 400:
        return answer
    for fault in faults.striking(target, call, AFTER):
        match fault.kind:
            case "delay":
                await asyncio.sleep(faults.seconds(fault))
            case "status":
                raise refusal(fault, call)
            case "reset":
                abort(request)
                raise ConnectionResetError("injected reset after the effect")
            case "silence":
                await faults.silence(fault)
            case _:
                return await _changed(fault, request, answer)
    return answer


async def _changed(fault: Fault, request: web.Request, answer: web.Response) -> web.StreamResponse:
    body = answer.body if isinstance(answer.body, bytes) else b""
    match fault.kind:
        case "html":
            return page(int(fault.value or 502))
        case "empty":
            return web.Response(status=answer.status, body=b"", content_type="application/json")
        case "truncate":
            return web.Response(status=answer.status, body=body[: len(body) // 2], content_type="application/json")
        case "type":
            return web.Response(status=answer.status, body=body, headers={"Content-Type": fault.value})
        case "partial":
            return await _broken_off(request, answer, body)
    return await _slowly(request, answer, body)


def refusal(fault: Fault, call: Call) -> ApiError:
    """The refusal as the real server words it, for the codes that have one form."""
    code = int(fault.value)
    if code == 403:
        return errors.forbidden(call.plural, call.group, call.name, denial(call.user, call.attributes))
    if code == 401:
        return errors.unauthorized()
    if code == 409:
        return errors.conflict(call.plural, call.group, call.name, STALE)
    return errors.failure(code, f"injected fault {fault.id}", fault.retry_after)


def page(code: int) -> web.Response:
    """What a proxy in front of the API server says in its place."""
    text = _PAGE.format(code=code, word=_WORDS.get(code, "Error"))
    return web.Response(status=code, text=text, content_type="text/html")


def abort(request: web.Request) -> None:
    """Close the connection under the client."""
    if request.transport is not None:
        request.transport.abort()


async def _prepared(request: web.Request, answer: web.Response, length: int) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
    response.content_length = length
    await response.prepare(request)
    return response


async def _broken_off(request: web.Request, answer: web.Response, body: bytes) -> web.StreamResponse:
    """Half of the body that was announced whole, then the connection is gone."""
    response = await _prepared(request, answer, len(body))
    await response.write(body[: len(body) // 2])
    await asyncio.sleep(0)
    if request.transport is not None:
        request.transport.close()  # not abort(): what was written must arrive
    raise ConnectionResetError("injected break in the body")


async def _slowly(request: web.Request, answer: web.Response, body: bytes) -> web.StreamResponse:
    response = await _prepared(request, answer, len(body))
    for start in range(0, len(body), _SLICE):
        await response.write(body[start : start + _SLICE])
        await asyncio.sleep(_SLOW_SECONDS)
    await response.write_eof()
    return response


async def write(faults: Faults, call: Call, response: web.StreamResponse, chunk: bytes) -> bool:
    """Send a chunk of a watch: not at all while silenced, late while delayed or slow. False: the watch ends here."""
    for fault in faults.striking("watch", call, BEFORE, _AT_LINES):
        match fault.kind:
            case "silence":
                await faults.silence(fault)
            case "delay":
                await asyncio.sleep(faults.seconds(fault))
            case "slow":
                await asyncio.sleep(_SLOW_SECONDS)
            case "truncate":
                await response.write(chunk[: len(chunk) // 2])
                return False
    await response.write(chunk)
    return True
