"""What people type: reasons and findings."""

from __future__ import annotations

from common.redaction import redact


def typed(text: str, most: int = 1000) -> str:
    """Fit to be kept and shown: one line, no credentials, no characters that deceive the eye."""
    return redact(" ".join(text.split()), most)
