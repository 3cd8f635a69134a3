"""All signatures: every module of :mod:`monitoring.diagnosis.signatures` that has ``SIGNATURES``, by its name.

A new signature is one file there (and its recorded cases); nothing else has to know it.
"""

from __future__ import annotations

import pkgutil
from functools import cache
from importlib import import_module

from monitoring.diagnosis import signatures
from monitoring.diagnosis.base import Signature


@cache
def all_signatures() -> tuple[Signature, ...]:
    """Every signature, the first layers first; inside a layer by file and the order in it."""
    names = sorted(found.name for found in pkgutil.iter_modules(signatures.__path__))
    every = [
        signature
        for name in names
        for signature in getattr(import_module(f"{signatures.__name__}.{name}"), "SIGNATURES", ())
    ]
    return tuple(sorted(every, key=lambda signature: (signature.layer, signature.general)))
