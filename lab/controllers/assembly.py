"""Which resources the lab follows and which controllers it runs."""

from __future__ import annotations

from lab.controllers.argocd import ApplicationController
from lab.controllers.argocd.kinds import RESOURCES as DEPLOYED
from lab.controllers.autoscaler import AUTOSCALERS, AutoscalerController
from lab.controllers.cordon import CordonController
from lab.controllers.cronjob import CRON_JOBS, CronJobController
from lab.controllers.daemonset import DaemonSetController
from lab.controllers.deployment import DeploymentController
from lab.controllers.disruption import BUDGETS, DisruptionController
from lab.controllers.endpoints import EndpointsController
from lab.controllers.job import JOBS, JobController
from lab.controllers.kubelet import Kubelet
from lab.controllers.kubelet.heartbeat import Heartbeat
from lab.controllers.kubelet.logs import Logs
from lab.controllers.loadbalancer import LoadBalancerController
from lab.controllers.prometheus_operator import PrometheusOperator
from lab.controllers.replicaset import ReplicaSetController
from lab.controllers.resizing import Resizer
from lab.controllers.revisions import REVISIONS
from lab.controllers.scheduler import Scheduler
from lab.controllers.statefulset import StatefulSetController
from lab.controllers.volumes import Provisioner, VolumeBinder
from lab.controllers.world import Controller, World

FOLLOWED = tuple(
    dict.fromkeys(
        (
            "nodes",
            "pods",
            "services",
            "endpoints",
            "endpointslices.discovery.k8s.io",
            "replicasets.apps",
            "persistentvolumes",
            *DEPLOYED.values(),
            "podmonitors.monitoring.coreos.com",
            "appprojects.argoproj.io",
            "ipaddresspools.metallb.io",
            BUDGETS,
            AUTOSCALERS,
            JOBS,
            REVISIONS,
            CRON_JOBS,
        )
    )
)


def controllers(world: World, logs: Logs, *, own_workloads: bool) -> list[Controller]:
    """The controllers to run. Without `own_workloads` the server's controller manager and scheduler do their part."""
    everywhere: list[Controller] = [
        Kubelet(world, logs),
        PrometheusOperator(world),
        ApplicationController(world),
        LoadBalancerController(world),
        Provisioner(world),
        Resizer(world),
    ]
    if not world.own_server:
        everywhere.append(Heartbeat(world))
    if not own_workloads:
        return everywhere
    return [
        *everywhere,
        DeploymentController(world),
        ReplicaSetController(world),
        StatefulSetController(world),
        DaemonSetController(world),
        Scheduler(world),
        EndpointsController(world),
        VolumeBinder(world),
        DisruptionController(world),
        CordonController(world),
        AutoscalerController(world),
        JobController(world),
        CronJobController(world),
    ]
