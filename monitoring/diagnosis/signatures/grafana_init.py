"""G13: an init sidecar that watches instead of listing never ends."""

from __future__ import annotations

from monitoring.checks.pods import condition
from monitoring.diagnosis.argo_words import to_grafana
from monitoring.diagnosis.base import Layer, Signature, finding, from_then, older
from monitoring.diagnosis.containers import state_of
from monitoring.diagnosis.scene import Scene
from monitoring.verdict import Finding

_LONG = 120


def find(scene: Scene) -> Finding | None:
    for bad in scene.bad:
        running = bad.status.state.running
        started = running.started_at if running else None
        if not (bad.init and bad.name.startswith("grafana-init-sc") and older(scene, started, _LONG)):
            continue
        initialised = condition(bad.pod.status.conditions, "Initialized")
        method = next((e.value for e in bad.spec.env if e.name == "METHOD"), "")
        return finding(
            "G13",
            "init_never_ends",
            "An init container never ends",
            f"{bad.name} runs{from_then(scene, started)} and watches for changes instead of ending, so Grafana is "
            "never started. Set watchMethod: LIST for it.",
            (
                state_of(bad),
                f"{bad.pod.metadata.name}: Initialized={initialised.status if initialised else 'unknown'}",
                f"{bad.name} env METHOD={method}" if method else "",
            ),
            0.9,
            remedies=to_grafana(scene),
            at=started,
        )
    return None


SIGNATURES = (
    Signature(
        "G13",
        Layer.INIT,
        "An init sidecar of Grafana watches for ever, so Grafana is never started.",
        "https://github.com/grafana-community/helm-charts/issues/126",
        find,
    ),
)
