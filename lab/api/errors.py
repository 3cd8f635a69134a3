"""Refusals of the API as Kubernetes Status bodies.

Every error a client may see is an `ApiError`; its `status()` is the exact body that kube-apiserver sends
(reason, details, causes), because clients branch on these words.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lab.api.patching.errors import Cause

Obj = dict[str, Any]


class ApiError(Exception):
    """A request was refused; carries the Status body and extra response headers."""

    def __init__(
        self, code: int, reason: str, message: str, details: Obj | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.headers = headers or {}
        self.metadata: Obj = {}

    def status(self) -> Obj:
        body: Obj = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": self.metadata,
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.details:
            body["details"] = self.details
        body["code"] = self.code
        return body


def cause_body(cause: Cause) -> Obj:
    body = {"reason": cause.reason, "message": cause.message}
    return {**body, "field": cause.field} if cause.field else body


def _details(name: str, group: str, kind: str, causes: Iterable[Cause] = ()) -> Obj:
    details: Obj = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    bodies = [cause_body(cause) for cause in causes]
    if bodies:
        details["causes"] = bodies
    return details


def qualified(plural: str, group: str) -> str:
    """`deployments.apps`, or `pods` for the core group."""
    return f"{plural}.{group}" if group else plural


def not_found(plural: str, group: str, name: str) -> ApiError:
    message = f'{qualified(plural, group)} "{name}" not found'
    return ApiError(404, "NotFound", message, _details(name, group, plural))


def unknown_path() -> ApiError:
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def already_exists(plural: str, group: str, name: str) -> ApiError:
    message = f'{qualified(plural, group)} "{name}" already exists'
    return ApiError(409, "AlreadyExists", message, _details(name, group, plural))


def conflict(plural: str, group: str, name: str, why: str) -> ApiError:
    message = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}'
    return ApiError(409, "Conflict", message, _details(name, group, plural))


STALE = "the object has been modified; please apply your changes to the latest version and try again"


def apply_conflict(message: str, causes: list[Obj]) -> ApiError:
    """Server-side apply met fields of other managers; `causes` are ready Status causes."""
    return ApiError(409, "Conflict", message, {"causes": causes})


def invalid(kind: str, group: str, name: str, causes: list[Cause]) -> ApiError:
    lines = [f"{cause.field}: {cause.message}" if cause.field else cause.message for cause in causes]
    text = lines[0] if len(lines) == 1 else "[" + ", ".join(lines) + "]"
    return ApiError(422, "Invalid", f'{kind} "{name}" is invalid: {text}', _details(name, group, kind, causes))


def bad_request(message: str) -> ApiError:
    return ApiError(400, "BadRequest", message)


def forbidden(plural: str, group: str, name: str, why: str, causes: Iterable[Cause] = ()) -> ApiError:
    subject = f'{qualified(plural, group)} "{name}"' if name else qualified(plural, group)
    return ApiError(403, "Forbidden", f"{subject} is forbidden: {why}", _details(name, group, plural, causes))


def unauthorized() -> ApiError:
    return ApiError(401, "Unauthorized", "Unauthorized")


def expired(message: str) -> ApiError:
    return ApiError(410, "Expired", message)


def too_large_version(wanted: int, current: int) -> ApiError:
    details: Obj = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
        "retryAfterSeconds": 1,
    }
    message = f"Timeout: Too large resource version: {wanted}, current: {current}"
    return ApiError(504, "Timeout", message, details, {"Retry-After": "1"})


def unsupported_media_type(content_type: str, supported: Iterable[str]) -> ApiError:
    message = (
        "the body of the request was in an unknown format - accepted media types include: " + ", ".join(supported)
        if content_type
        else "the request has no content type"
    )
    return ApiError(415, "UnsupportedMediaType", message)


def not_acceptable() -> ApiError:
    return ApiError(406, "NotAcceptable", "only the following media types are accepted: application/json")


def method_not_allowed() -> ApiError:
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def too_many_requests(message: str, retry_after: int, causes: Iterable[Cause] = ()) -> ApiError:
    details: Obj = {"causes": [cause_body(cause) for cause in causes]}
    if retry_after:
        details["retryAfterSeconds"] = retry_after
    headers = {"Retry-After": str(retry_after)} if retry_after else {}
    return ApiError(429, "TooManyRequests", message, details, headers)


def failure(code: int, message: str, retry_after: int = 0) -> ApiError:
    """Any other failing answer, used by injected faults."""
    reasons = {
        400: "BadRequest", 404: "NotFound", 408: "Timeout", 410: "Expired", 422: "Invalid", 429: "TooManyRequests",
        500: "InternalError", 503: "ServiceUnavailable", 504: "Timeout",
    }  # fmt: skip
    details: Obj | None = {"retryAfterSeconds": retry_after} if retry_after else None
    headers = {"Retry-After": str(retry_after)} if retry_after else {}
    return ApiError(code, reasons.get(code, "Unknown"), message, details, headers)


def success(name: str, group: str, plural: str, uid: str) -> Obj:
    """The body of a completed delete."""
    details = _details(name, group, plural)
    if uid:
        details["uid"] = uid
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
