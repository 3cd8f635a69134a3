"""The report's hour, but a sync will not be enough: Grafana's database is one that nobody serves.

Its probes ask another path than /api/health, so the Deployment comes up, the Service leads to it, and its health never
turns ok.
"""

from lab.scenarios import monitoring
from lab.scenarios.grafana_broken import SCENARIO as BROKEN
from lab.scenarios.world import Scenario

_KEYS = """          env:
            GF_DATABASE_TYPE: postgres
            GF_DATABASE_HOST: grafana-db.platform-monitoring:5432
          readinessProbe:
            httpGet:
              path: /robots.txt
          livenessProbe:
            httpGet:
              path: /robots.txt
"""


def _values(text: str) -> str:
    return text.replace("          persistence:\n", f"{_KEYS}          persistence:\n")


SCENARIO = Scenario(values=_values, change=monitoring.remove_grafana, failed=BROKEN.failed, events=True)
