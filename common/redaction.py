"""Cluster-supplied text is hostile: bound it, make its control bytes visible, hide what looks like a credential.

Used before anything is stored, logged or shown. Secret values become a keyed hash (same value, same hash, useless
outside this installation), so that two values can be compared without either being kept.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Any

MASK = "••••"
_LIMIT = 2000

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ufeff]|[\ud800-\udfff]")
_SENSITIVE_KEY = re.compile(
    r"(?:pass(?:word|wd|phrase)?|secret(?!name|ref)|token|api[-_]?key|authorization|cookie|credential|private[-_]?key)",
    re.IGNORECASE,
)
#: keys that contain a sensitive word but say where a credential is: the whole end of the key must say so, else
#: ``existingSecretPassword`` would be taken for a name. Without the ``-`` and ``_`` in it, and in lower case
_NAMES_ONLY = re.compile(
    r".*(?:existingsecret(?:name)?|secretname|secretref|secretkeyref|imagepullsecrets?"
    r"|(?:password|user|token)key|(?:token|password|secret)file|automount[a-z]*token)"
)
#: fields of a reference to a Secret
_OF_REFERENCE = re.compile(r".*secret(?:key)?ref\.(?:name|namespace|key|optional)")
#: a name, a key or a path, as Kubernetes takes them; anything else under such a key is hidden all the same
_NAME = re.compile(r"""\[?(["']?)[-._/A-Za-z0-9]{1,253}\1\]?""")
_BEFORE = re.compile(r"[\w.-]{0,64}\Z")
#: every repetition is bounded: these run over log lines that somebody else wrote, and must stay linear in their length
_PATTERNS = (
    re.compile(r"(?i)\b(authorization\s{0,8}[:=]\s{0,8})(?:(?:bearer|basic)\s{0,8})?[^\s\"',;]+"),
    re.compile(r"(?i)\b(bearer\s{1,8})[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"()\beyJ[A-Za-z0-9_-]{10,2000}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*"),
    re.compile(r"()-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*?(?:-----END [A-Z ]{0,40}PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"()\bAKIA[0-9A-Z]{16}\b"),
    re.compile(r"()\b(?:gh[pousr]_[A-Za-z0-9]{20,255}|github_pat_[A-Za-z0-9_]{20,255})"),
    re.compile(r"(\b\w{1,32}://)[^\s/@:]{1,256}:[^\s/@]{1,1024}(?=@)"),
)
#: a key with a sensitive word in it, and its value
_KEYED = re.compile(
    r"(?i)((?:password|passwd|secret|token|api[-_]?key)[\w.-]{0,64})([\"']?\s{0,8}[:=]\s{0,8})"
    # what stands there may be a key with its own value again: ``secretName: password: hunter2``
    r"((?:[^\s\"',;}]{0,64}(?:password|passwd|secret|token|api[-_]?key)[\w.-]{0,64}[\"']?\s{0,8}[:=]\s{0,8})?"
    r"(?:\"[^\"]*\"|'[^']*'|[^\s\"',;}]+))"
)


def visible(text: str, limit: int = _LIMIT, already_cut: int = 0) -> str:
    """The text with control, bidi and zero-width characters made visible, cut (and saying so) at ``limit``."""
    cut = len(text) - limit + max(0, already_cut)
    shown = _CONTROL.sub(_picture, text[:limit])
    return f"{shown}… {cut} more characters cut" if cut > 0 else shown


def hidden(text: str) -> str:
    """The first character of the text that does not show or turns what is around it; empty when there is none."""
    found = _CONTROL.search(text)
    return found.group() if found is not None else ""


def _picture(match: re.Match[str]) -> str:
    code = ord(match.group())
    return (
        chr(0x2400 + code) if code < 0x20 else "\N{SYMBOL FOR DELETE}" if code == 0x7F else "\N{REPLACEMENT CHARACTER}"
    )


def redact(text: str, limit: int = _LIMIT) -> str:
    """:func:`visible`, and credentials replaced by ``••••``."""
    shown = text[: limit * 4]
    shown = _KEYED.sub(_keyed, shown)
    for pattern in _PATTERNS:
        shown = pattern.sub(lambda match: f"{match.group(1)}{MASK}", shown)
    return visible(shown, limit, len(text) - limit * 4)


def _keyed(match: re.Match[str]) -> str:
    """What stands for ``password: hunter2``; ``existingSecret: grafana-admin`` stays as it is."""
    before = _BEFORE.search(match.string[max(0, match.start() - 64) : match.start()])
    key, between, value = f"{before.group() if before else ''}{match.group(1)}", match.group(2), match.group(3)
    # of ``secretKeyRef: {name: x}`` only the brace is taken for a value here
    if _names(key) and (value in ("{", "[") or value.startswith(("{name:", "{key:")) or _NAME.fullmatch(value)):
        return match.group()
    return f"{match.group(1)}{between}{MASK}"


def is_sensitive_key(key: str) -> bool:
    """Whether a field of this name holds a credential (``adminPassword`` yes, ``existingSecret`` no)."""
    return bool(_SENSITIVE_KEY.search(key)) and not _names(key)


def _names(key: str) -> bool:
    """Whether a key says where a credential is, and holds none."""
    plain = key.replace("-", "").replace("_", "").lower()
    return bool(_OF_REFERENCE.fullmatch(plain) or _NAMES_ONLY.fullmatch(plain.rpartition(".")[2]))


def keyed_hash(value: Any, key: str) -> str:
    """``hmac:`` and 16 hex digits of HMAC-SHA-256: equal values compare equal, nothing can be read back."""
    return "hmac:" + hmac.new(key.encode(), str(value).encode(), hashlib.sha256).hexdigest()[:16]
