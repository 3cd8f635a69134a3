"""G2: sidecars on, and an additional datasource that is marked as default beside the chart's own: Grafana exits 1."""

from lab.scenarios.world import Scenario

_ADDITIONAL = """          additionalDataSources:
            - name: Prometheus-platform
              type: prometheus
              uid: prometheus-platform
              url: http://kube-prometheus-stack-prometheus.platform-monitoring:9090
              access: proxy
              isDefault: true
"""


def _values(text: str) -> str:
    before, rest = text.split("          sidecar:\n", 1)
    after = rest[rest.index("          service:\n") :]
    return before + _ADDITIONAL + after


SCENARIO = Scenario(values=_values)
