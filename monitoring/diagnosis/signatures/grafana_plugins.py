"""G20: Grafana ends at its start because a plugin it is told to install cannot be had."""

from __future__ import annotations

from monitoring.diagnosis.argo_words import to_values
from monitoring.diagnosis.base import Layer, Signature, finding, log_line, pattern
from monitoring.diagnosis.containers import ended_at, state_of
from monitoring.diagnosis.remedies import STANDALONE, USE_PROMETHEUS, remedy
from monitoring.diagnosis.scene import Scene
from monitoring.verdict import Finding

# grafana: pkg/cmd/grafana-cli (install at start by GF_INSTALL_PLUGINS) and pkg/plugins/repo
_WORDS = pattern(
    r"fail(?:ed)? to (?:download|install|extract) [^\n]{0,40}plugin|error: ✗ [^\n]{0,200}(?:/api/plugins/|plugin)|"
    r"failed to send request[^\n]{0,200}/api/plugins/|plugin [^\n]{1,100}(?:not found|failed to install|"
    r"is not compatible)|"
    r"404: plugin not found"
)
_WAY = pattern(
    r"no such host|server misbehaving|i/o timeout|timed? ?out|refused|unreachable|context deadline|tls|x509|proxy"
)
# Grafana ≥ 11 installs some in the background and lives on without them
_HARMLESS = pattern(r"backgroundinstaller")


def find(scene: Scene) -> Finding | None:
    for bad in scene.main() if scene.kind == "grafana" else []:
        line = bad.log_says(_WORDS)
        if not line or _HARMLESS.search(line) or not bad.crashes:
            continue
        no_way = bool(_WAY.search(line))
        why = (
            "the place it comes from cannot be reached from the pod" if no_way else "it is not to be had as it is named"
        )
        return finding(
            "G20",
            "plugin_not_installed",
            "Grafana cannot install a plugin",
            f"Grafana ends at its start because a plugin cannot be installed: {why}. Take it out of plugins in the "
            "values, or build it into the image.",
            (log_line(bad.name, line), state_of(bad)),
            0.9,
            remedies=(*to_values(scene), remedy(STANDALONE), remedy(USE_PROMETHEUS)),
            at=ended_at(bad),
        )
    return None


SIGNATURES = (
    Signature(
        "G20",
        Layer.CONTAINER,
        "Grafana ends at its start because a plugin cannot be downloaded or installed.",
        "https://github.com/helm/charts/issues/7905",
        find,
    ),
)
