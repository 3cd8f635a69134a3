"""Names the cause of a failure from a Snapshot, with the evidence, and says what was ruled out. Pure.

``diagnose`` is a function of a Snapshot, a subject and the time; ``needs`` says what to read for it. It knows neither
items nor remedies' code: remedies are slugs. The ids are those of the team's failure table (G = Grafana, A = Argo CD),
with W for any workload, D for Grafana's content, M for Alertmanager, T for scrape targets, O for the Prometheus
operator, S for storage classes and U for what nobody knows. Sources of the signatures: the Grafana chart and Grafana,
k8s-sidecar 1.30–2.10, Argo CD's controller, prometheus-operator and the Kubernetes API; each signature names its own.
"""

from monitoring.diagnosis.engine import diagnose, needs
from monitoring.diagnosis.registry import all_signatures
from monitoring.diagnosis.remedies import REMEDIES

__all__ = ["REMEDIES", "all_signatures", "diagnose", "needs"]
