"""Reads a team's progress report (any Markdown), says what was understood, and imports it when a person accepts.

``decode`` → ``checks_in`` (what to ask the cluster) → ``preview`` → ``accept``. Fails with :class:`ReportError` only.
"""

from portal.checklists.importing.accept import accept
from portal.checklists.importing.document import MAX_BYTES, ReportError, decode
from portal.checklists.importing.preview import checks_in, preview
from portal.checklists.importing.shapes import Preview

__all__ = ["MAX_BYTES", "Preview", "ReportError", "accept", "checks_in", "decode", "preview"]
