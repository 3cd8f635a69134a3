"""Names the cause of a failure from a Snapshot, with the evidence, and says what was ruled out. Pure.

``diagnose`` is a function of a Snapshot, a subject and the time; ``needs`` says what to read for it. It knows neither
items nor remedies' code: remedies are slugs. The ids are those of the team's failure table (G = Grafana, A = Argo CD,
W = any workload). Sources of the signatures: the Grafana chart and Grafana 10, k8s-sidecar 1.30–2.10, Argo CD's
controller, and the Kubernetes API; each signature names what it matches.
"""

from monitoring.diagnosis.engine import REMEDIES, diagnose, needs

__all__ = ["REMEDIES", "diagnose", "needs"]
