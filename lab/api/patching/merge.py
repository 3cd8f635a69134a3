"""JSON merge patch (RFC 7386) and JSON patch (RFC 6902). Pure; the inputs are never changed."""

from __future__ import annotations

from typing import Any

import jsonpatch
import jsonpointer

from lab.api.patching.errors import PatchError, PatchTestFailed
from lab.plain import copied


def merge_patch(doc: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """The document after a merge patch: null removes, objects merge, all else replaces."""
    result: dict[str, Any] = _merged(copied(doc), patch)
    return result


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return copied(patch)
    result = target if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = _merged(result.get(key), value)
    return result


def json_patch(doc: dict[str, Any], ops: list[dict[str, Any]]) -> dict[str, Any]:
    """The document after the operations.

    Raises PatchTestFailed (422) when a `test` fails or a path is not there, PatchError (400) when the
    patch itself is not one.
    """
    if not isinstance(ops, list):
        raise PatchError("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    try:
        result = jsonpatch.JsonPatch(ops).apply(doc)
    except jsonpatch.InvalidJsonPatch as error:
        raise PatchError(f"error decoding patch: {error}") from error
    except (jsonpatch.JsonPatchException, jsonpointer.JsonPointerException, TypeError) as error:
        # TypeError: the library walks into a scalar when the path goes through one
        raise PatchTestFailed("the server rejected our request due to an error in our request") from error
    if not isinstance(result, dict):
        raise PatchTestFailed("the patch does not leave an object")
    return result
