"""Names of labels and taints: their syntax, and whose they are. Pure text.

Source of the syntax: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/ (a taint's key and value
follow the same rules). Everything under ``kubernetes.io`` and ``k8s.io`` is reserved for Kubernetes itself.
"""

from __future__ import annotations

import re

from deployments.catalogue import texts

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_PREFIX = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_RESERVED = ("kubernetes.io", "k8s.io")
_ARGO = ("argoproj.io",)
_OURS = ("portal.remediation",)
#: the label by which Argo CD finds its objects unless it is told otherwise
ARGO_INSTANCE = "app.kubernetes.io/instance"


def check_key(key: str) -> None:
    """:raises Refused: not the key of a label or taint; the parameter is called ``key`` wherever there is one."""
    prefix, slash, name = key.rpartition("/")
    fits = not slash or (len(prefix) <= 253 and _PREFIX.fullmatch(prefix))
    if not fits or not _NAME.fullmatch(name):
        said = f"{key!r} is no key. Write it like storage or example.com/storage, at most 63 characters"
        raise texts.Refused("key", said)


def check_value(value: str) -> None:
    """:raises Refused: not the value of a label or taint."""
    if value and not _NAME.fullmatch(value):
        said = f"{value!r} is no value. Use letters, digits, '-', '_' and '.', at most 63, not at the ends"
        raise texts.Refused("value", said)


def owner_of(key: str) -> str:
    """Who a key is reserved for (``Kubernetes``, ``Argo CD``, ``this portal``), or nothing."""
    prefix = key.rpartition("/")[0]
    if key == ARGO_INSTANCE or _under(prefix, _ARGO):
        return "Argo CD"
    if _under(prefix, _RESERVED):
        return "Kubernetes"
    return "this portal" if _under(prefix, _OURS) else ""


def _under(prefix: str, domains: tuple[str, ...]) -> bool:
    return any(prefix == domain or prefix.endswith(f".{domain}") for domain in domains)
