"""The composition root as an app, for its management commands."""

from django.apps import AppConfig


class PortalConfig(AppConfig):
    name = "portal"
    verbose_name = "Phaseboard"
