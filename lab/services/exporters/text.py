"""The text format of metrics: what a scrape of a real Prometheus reads."""

from __future__ import annotations

from collections.abc import Iterable

from lab.services.http import shown
from lab.services.storage import Series


def written(series: Iterable[Series], now: float) -> str:
    """The exposition of the series at `now` (Unix seconds); samples of one metric stand together."""
    lines: dict[str, list[str]] = {}
    for one in series:
        name = one.labels["__name__"]
        labels = ",".join(f'{key}="{escaped(text)}"' for key, text in one.labels.items() if key != "__name__")
        value = shown(one.curve.at(now))
        lines.setdefault(name, []).append(f"{name}{{{labels}}} {value}" if labels else f"{name} {value}")
    return "".join(f"# TYPE {name} {_kind(name)}\n" + "\n".join(found) + "\n" for name, found in lines.items())


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _kind(name: str) -> str:
    return "counter" if name.endswith("_total") else "gauge"
