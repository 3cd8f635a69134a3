"""What each program of the cluster says at its /metrics, computed from API objects. Pure."""

from lab.services.exporters.registry import Context, exposition, scraped

__all__ = ["Context", "exposition", "scraped"]
