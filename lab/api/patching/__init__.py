"""What an API server does with a write, as pure functions over JSON documents: no I/O, no clock, no store."""

from lab.api.patching.apply import apply, track_update
from lab.api.patching.defaults import default
from lab.api.patching.errors import (
    ApplyConflict,
    ApplyInvalid,
    Cause,
    ConflictCause,
    PatchError,
    PatchTestFailed,
)
from lab.api.patching.merge import json_patch, merge_patch
from lab.api.patching.schema import GVK, GroupVersionKind
from lab.api.patching.strategic import strategic_merge
from lab.api.patching.unknown import unknown_fields, without_unknown
from lab.api.patching.validation import validate

__all__ = [
    "GVK",
    "ApplyConflict",
    "ApplyInvalid",
    "Cause",
    "ConflictCause",
    "GroupVersionKind",
    "PatchError",
    "PatchTestFailed",
    "apply",
    "default",
    "json_patch",
    "merge_patch",
    "strategic_merge",
    "track_update",
    "unknown_fields",
    "validate",
    "without_unknown",
]
