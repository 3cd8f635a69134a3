"""The only errors that leave ``integrations``: what went wrong with an outside system, as one sentence for people.

Vendor exceptions never escape. Messages are bounded (256 characters) and redacted, because servers echo what they were
sent. ``transient`` says whether waiting may help; ``maybe_done`` says whether a *write* may have happened all the same
(the request left, the answer did not arrive): such a write must be looked up, never repeated.
"""

from __future__ import annotations

from typing import Any

from common.redaction import redact

LIMIT = 256


class SourceError(Exception):
    """An outside system did not do what was asked: ``str()`` is one sentence, ``status`` the HTTP status or 0."""

    transient_by_default = False

    def __init__(
        self,
        sentence: str,
        *,
        transient: bool | None = None,
        status: int = 0,
        retry_after: float | None = None,
        maybe_done: bool = False,
    ) -> None:
        self.sentence = redact(" ".join(sentence.split()), LIMIT)
        super().__init__(self.sentence)
        self.transient = self.transient_by_default if transient is None else transient
        self.status = status
        #: seconds the server asked us to wait, if it did
        self.retry_after = retry_after
        self.maybe_done = maybe_done


class Unreachable(SourceError):  # noqa: N818 - named by what happened, as the design does
    """No answer, or a 5xx: nothing is known about the state."""

    transient_by_default = True


class Unauthorized(SourceError):  # noqa: N818 - named by what happened, as the design does
    """401: the credentials are wrong or expired (they are re-read before each next try)."""

    transient_by_default = True


class Forbidden(SourceError):  # noqa: N818 - named by what happened, as the design does
    """403: this identity may not."""


class NotFound(SourceError):  # noqa: N818 - named by what happened, as the design does
    """404: no such object, or no such resource on this server."""


class Conflict(SourceError):  # noqa: N818 - named by what happened, as the design does
    """409: the object changed, exists already, or other field managers own fields. ``causes`` are the server's."""

    def __init__(
        self, sentence: str, *, causes: tuple[dict[str, Any], ...] = (), reason: str = "", **rest: Any
    ) -> None:
        super().__init__(sentence, **rest)
        self.causes = causes
        #: the server's reason: ``Conflict`` (changed meanwhile, field managers) or ``AlreadyExists``
        self.reason = reason


class Gone(SourceError):  # noqa: N818 - named by what happened, as the design does
    """410: the resourceVersion is too old; list again."""

    transient_by_default = True


class Rejected(SourceError):  # noqa: N818 - named by what happened, as the design does
    """Any other 4xx, or an answer that cannot be understood. ``causes`` are the server's, field by field."""

    def __init__(self, sentence: str, *, causes: tuple[dict[str, Any], ...] = (), **rest: Any) -> None:
        super().__init__(sentence, **rest)
        self.causes = causes


class TooManyRequests(SourceError):  # noqa: N818 - named by what happened, as the design does
    """429: the server asks us to slow down."""

    transient_by_default = True


_BY_STATUS: dict[int, type[SourceError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    410: Gone,
    429: TooManyRequests,
}


def from_status(
    status: int,
    message: str,
    *,
    retry_after: float | None = None,
    causes: tuple[dict[str, Any], ...] = (),
    reason: str = "",
    write: bool = False,
) -> SourceError:
    """The error of an HTTP status. A 5xx answer to a write leaves open whether it was done."""
    if status == 409:
        return Conflict(message, status=status, causes=causes, reason=reason)
    if status in _BY_STATUS:
        return _BY_STATUS[status](message, status=status, retry_after=retry_after)
    if status >= 500:
        return Unreachable(message, status=status, retry_after=retry_after, maybe_done=write)
    return Rejected(message, status=status, causes=causes)
