"""All is well: the report's stack with Grafana running, and both datasources that the chart itself would provision.

The team's values switch the datasource sidecar off and name Prometheus alone; here the Alertmanager beside it is theirs
too, with the uid and type that kube-prometheus-stack gives it.
"""

from lab.scenarios.world import Scenario

_PROMETHEUS = "                  isDefault: true\n"
_ALERTMANAGER = """                - name: Alertmanager
                  type: alertmanager
                  uid: alertmanager
                  url: http://kube-prometheus-stack-alertmanager.platform-monitoring:9093
                  access: proxy
                  jsonData:
                    handleGrafanaManagedAlerts: false
                    implementation: prometheus
"""


def _values(text: str) -> str:
    return text.replace(_PROMETHEUS, _PROMETHEUS + _ALERTMANAGER, 1)


SCENARIO = Scenario(values=_values)
