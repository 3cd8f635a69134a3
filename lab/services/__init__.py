"""What runs beside the API in a cluster: Prometheus, Alertmanager and Grafana, computed from the API objects."""

from lab.services.backend import Services
from lab.services.cluster import RESOURCES

__all__ = ["RESOURCES", "Services"]
