"""A kubelet for all nodes: pods start, crash, restart and become ready by rules over API objects."""

from lab.controllers.kubelet.node import Kubelet

__all__ = ["Kubelet"]
