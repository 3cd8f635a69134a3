"""Log lines on stdout: one JSON object per line for machines, one short line for people. Always redacted."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from common.redaction import redact

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _text(record: logging.LogRecord, formatter: logging.Formatter) -> str:
    text = record.getMessage()
    if record.exc_info:
        text = f"{text}\n{formatter.formatException(record.exc_info)}"
    return text


class JsonFormatter(logging.Formatter):
    """``{"timestamp", "level", "logger", "event", …extra}``; newlines are escaped, so no line can forge another."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": redact(_text(record, self).replace("\n", " ⏎ "), 8000),
        }
        line |= {key: redact(str(value)) for key, value in vars(record).items() if key not in _STANDARD}
        return json.dumps(line, ensure_ascii=False)


class ConsoleFormatter(logging.Formatter):
    """``14:02:11 info logger: text``."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S")
        lines = [redact(line, 8000) for line in _text(record, self).splitlines() or [""]]
        return f"{at} {record.levelname.lower()} {record.name}: " + "\n  ".join(lines)
