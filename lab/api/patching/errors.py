"""What can go wrong while a patch is applied, in the words an API server answers with."""

from __future__ import annotations

from typing import NamedTuple, TypedDict


class Cause(NamedTuple):
    """One entry of a Status' `details.causes` (422 Invalid)."""

    reason: str
    field: str
    message: str


class ConflictCause(TypedDict):
    """One entry of a Status' `details.causes` (409 of server-side apply)."""

    reason: str
    message: str
    field: str


class PatchError(Exception):
    """A patch that cannot be applied; `code` and `reason` are the Status to answer with."""

    code = 400
    reason = "BadRequest"


class PatchTestFailed(PatchError):  # noqa: N818 - the name the API helpers agreed on
    """A JSON patch whose `test` failed or whose path does not exist: 422 Invalid."""

    code = 422
    reason = "Invalid"


class PatchOrderError(PatchError):
    """A strategic patch whose list contradicts its own $setElementOrder: servers answer 500."""

    code = 500
    reason = "InternalError"


class ApplyInvalid(PatchError):  # noqa: N818 - see above
    """An apply configuration that does not fit the type (undeclared field, duplicate list key)."""

    code = 500
    reason = "InternalError"


class ApplyConflict(PatchError):  # noqa: N818 - see above
    """Server-side apply met fields that another manager owns with a different value: 409 Conflict."""

    code = 409
    reason = "Conflict"

    def __init__(self, causes: list[ConflictCause], message: str) -> None:
        super().__init__(message)
        self.causes = causes
        self.message = message
