"""G2: two datasources marked as default across the provisioning files; Grafana ends with exit code 1."""

from __future__ import annotations

from monitoring.checks.text import clean, listing
from monitoring.diagnosis import values
from monitoring.diagnosis.base import Layer, Signature, finding, log_line
from monitoring.diagnosis.containers import ended_at, state_of
from monitoring.diagnosis.datasources import Told, defaults
from monitoring.diagnosis.remedies import ONE_DEFAULT, USE_PROMETHEUS, remedy
from monitoring.diagnosis.scene import Scene
from monitoring.verdict import Finding

# grafana: pkg/services/provisioning/datasources ErrInvalidConfigToManyDefault
_WORDS = ("only one datasource per organization can be marked as default",)


def find(scene: Scene) -> Finding | None:
    if scene.kind != "grafana":
        return None
    marked = defaults(scene)
    for bad in scene.main():
        line = bad.log_has(_WORDS)
        failed = bad.waiting == "CrashLoopBackOff" or bad.status.restart_count > 0
        if not line and not (failed and len(marked) > 1 and not bad.lines):
            continue
        sentence = (
            f"Grafana ends at its start because {len(marked)} datasources are marked as default: {_where(marked)}. "
            if len(marked) > 1
            else "Grafana ends at its start because more than one datasource is marked as default. "
        ) + "Leave isDefault on one of them; restarting does not help."
        evidence = [f"{item.where}: datasource {clean(item.name, 80)} has isDefault: true" for item in marked]
        evidence += _in_values(scene)
        evidence += [log_line(bad.name, line)] if line else []
        if len(marked) < 2:
            evidence.append("the other mark was not found in ConfigMaps; Secrets with that label are not read")
        return finding(
            "G2",
            "two_default_datasources",
            "Two datasources are marked as default",
            sentence,
            (*evidence, state_of(bad)),
            0.98 if line and len(marked) > 1 else 0.9 if line else 0.7,
            remedies=(remedy(ONE_DEFAULT), remedy(USE_PROMETHEUS)),
            at=ended_at(bad),
        )
    return None


def _where(marked: list[Told]) -> str:
    places = list(dict.fromkeys(item.where for item in marked))
    return listing(f"{listing(i.name for i in marked if i.where == place)} in {place}" for place in places)


def _in_values(scene: Scene) -> list[str]:
    """Where in the Application's values the marks come from."""
    found = values.at(scene.values, "grafana.additionalDataSources")
    return [
        f"values grafana.additionalDataSources: {clean(str(entry.get('name', '')), 80)} has isDefault: true"
        for entry in (found if isinstance(found, list) else [])
        if isinstance(entry, dict) and entry.get("isDefault") is True
    ]


SIGNATURES = (
    Signature(
        "G2",
        Layer.CONTAINER,
        "Grafana ends at its start: two provisioned datasources are marked as default.",
        "https://github.com/prometheus-community/helm-charts/issues/2251",
        find,
    ),
)
