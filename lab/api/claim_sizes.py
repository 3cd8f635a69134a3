"""What size a claim may be changed to: validation of the field, and the admission plugin PersistentVolumeClaimResize.

Messages are Kubernetes' own (``pkg/apis/core/validation``, ``plugin/pkg/admission/storage/persistentvolume/resize``).
"""

from __future__ import annotations

import re
from decimal import Decimal

from lab.api import errors
from lab.api.errors import Obj
from lab.api.patching import Cause
from lab.api.store import Store

_CLASSES = "storageclasses.storage.k8s.io"
_FIELD = "spec.resources.requests.storage"
_UNBOUND = "Forbidden: spec is immutable after creation except resources.requests for bound claims"
_SMALLER = "Forbidden: field can not be less than previous value"
_FIXED = (
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
)
_QUANTITY = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(?:[eE]([+-]?\d+)|([kMGTPE]i?|Ki))?")
_POWERS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


def check(store: Store, old: Obj, obj: Obj) -> None:
    """Raises ApiError 422 for a smaller size or a claim that is not bound, 403 where its class cannot give more."""
    before, wanted = _storage(old), _storage(obj)
    if before is None or wanted is None or wanted == before:
        return
    name = str(obj["metadata"]["name"])
    if (old.get("status") or {}).get("phase") != "Bound":
        raise errors.invalid("PersistentVolumeClaim", "", name, [Cause("FieldValueForbidden", "spec", _UNBOUND)])
    if wanted < before:
        raise errors.invalid("PersistentVolumeClaim", "", name, [Cause("FieldValueForbidden", _FIELD, _SMALLER)])
    chosen = (old.get("spec") or {}).get("storageClassName")
    if not any(
        found["metadata"]["name"] == chosen and found.get("allowVolumeExpansion") for found in store.objects(_CLASSES)
    ):
        raise errors.forbidden("persistentvolumeclaims", "", name, _FIXED)


def _storage(claim: Obj) -> Decimal | None:
    """The bytes it asks for; None when it says none, or nothing that is a size."""
    resources = (claim.get("spec") or {}).get("resources") or {}
    text = (resources.get("requests") or {}).get("storage")
    found = _QUANTITY.fullmatch(str(text)) if text is not None else None
    if found is None:
        return None
    number, exponent, unit = found.groups()
    if exponent is not None:
        return Decimal(number) * Decimal(10) ** int(exponent)
    base = 1024 if (unit or "").endswith("i") else 1000
    return Decimal(number) * Decimal(base) ** _POWERS[(unit or "").removesuffix("i")]
