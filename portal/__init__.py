"""The Django project: wiring, and what the portal is about."""

from portal.celery import app as celery_app

__all__ = ["celery_app"]
