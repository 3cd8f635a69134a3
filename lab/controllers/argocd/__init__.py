"""Argo CD's application controller (2.14), as far as an observer of Applications can tell the difference."""

from lab.controllers.argocd.controller import ApplicationController

__all__ = ["ApplicationController"]
