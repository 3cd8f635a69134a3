"""Finishes a world: what the controllers would have made of it by now, by the controllers' own pure functions.

Order: custom resources, volumes, workloads and their pods, load balancers, endpoints, then all statuses. Pods that
cannot run are left as they would be after all this time (a crash loop with its restarts): the same rules decide.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass

from lab.api import admission
from lab.controllers import (
    daemonset,
    deployment,
    endpoints,
    events,
    job,
    loadbalancer,
    meta,
    operator_config,
    operator_objects,
    placement,
    pods,
    replicaset,
    revisions,
    statefulset,
    volumes,
)
from lab.controllers.client import Object
from lab.controllers.kubelet import podstatus
from lab.controllers.operator_alertmanager import alertmanager_set
from lab.controllers.operator_prometheus import prometheus_set
from lab.plain import copied
from lab.scenarios.builder import Builder
from lab.scenarios.containers import Containers, Logs

_CONTROLLER = "kube-controller-manager"


@dataclass(frozen=True)
class Rollout:
    """A Deployment as it was before its present template, and how long ago that changed (minutes)."""

    earlier: Object
    minutes_ago: float


class Settler:
    """One pass over one world. `rollouts` are those that have begun: what the Deployment ran before."""

    def __init__(self, world: Builder, rng: random.Random, rollouts: list[Rollout] | None = None) -> None:
        self.world, self.rng = world, rng
        self._rollouts = {meta.key_of(rollout.earlier): rollout for rollout in rollouts or []}
        self.logs: Logs = {}
        self._containers = Containers(world, self.logs)
        self._used: set[str] = set()
        self._by_node: dict[str, list[Object]] = defaultdict(list)

    def run(self) -> None:
        for pod in self.world.list("pods"):
            self._start(pod)
        self._operator_inputs()
        for claim in self.world.list("persistentvolumeclaims"):
            self._bind(claim)
        for kind in ("deployments.apps", "daemonsets.apps", "statefulsets.apps"):
            for obj in self.world.list(kind):
                self._pods_of(obj)
        for obj in self.world.list("jobs.batch"):
            self._job(obj)
        self._addresses()
        self._endpoints()
        # pods that depend on endpoints are looked at again now that they exist
        for pod in self.world.list("pods"):
            if not meta.pod_ready(pod):
                self._settle_pod(pod)
        self._endpoints()
        self._statuses()

    # -- the operator's part -------------------------------------------------------------------------------------

    def _operator_inputs(self) -> None:
        world = self.world
        for owner in world.list("prometheuses.monitoring.coreos.com"):
            age = world.minutes_old(owner)
            for made in (
                operator_config.prometheus_secret(owner, world),
                operator_config.rule_files(owner, world),
                operator_objects.governing_service(owner, "prometheus"),
                prometheus_set(owner),
            ):
                world.add(made, age, "PrometheusOperator")
        for owner in world.list("alertmanagers.monitoring.coreos.com"):
            age = world.minutes_old(owner)
            for made in (
                operator_config.alertmanager_secret(owner, world),
                operator_objects.governing_service(owner, "alertmanager"),
                alertmanager_set(owner),
            ):
                world.add(made, age, "PrometheusOperator")
        for flag, age in self._kubelet_services():
            namespace, _, name = flag.partition("/")
            world.add(operator_objects.kubelet_service(namespace, name), age, "PrometheusOperator")
            made = operator_objects.kubelet_endpoints(namespace, name, world.list("nodes"))
            world.add(made, age, "PrometheusOperator")

    def _kubelet_services(self) -> list[tuple[str, float]]:
        found: list[tuple[str, float]] = []
        for obj in self.world.list("deployments.apps"):
            for container in obj["spec"]["template"]["spec"]["containers"]:
                flags = [arg for arg in container.get("args") or [] if arg.startswith("--kubelet-service=")]
                found += [(flag.partition("=")[2], self.world.minutes_old(obj)) for flag in flags]
        return found

    # -- pods ----------------------------------------------------------------------------------------------------

    def _pods_of(self, obj: Object) -> None:
        world, age = self.world, self.world.minutes_old(obj)
        if obj["kind"] == "Deployment":
            rollout = self._rollouts.get(meta.key_of(obj))
            if rollout is not None:
                before = {**obj, "spec": {**obj["spec"], "template": copied(rollout.earlier["spec"]["template"])}}
                self._replica_set(obj, before, 1, age)
            self._replica_set(obj, obj, 2 if rollout else 1, rollout.minutes_ago if rollout else age)
            return
        world.add(revisions.revision_for(obj, 1), age, _CONTROLLER)
        if obj["kind"] == "DaemonSet":
            revision = daemonset.revision_hash(obj)
            for node in daemonset.eligible(obj, world.list("nodes")):
                name = pods.random_name(obj, self.rng)
                self._start(world.add(pods.daemon_pod(obj, node, name, revision), age, _CONTROLLER))
        else:
            revision = pods.revision_name(obj)
            for ordinal in range(int(obj["spec"].get("replicas", 1))):
                for claim in pods.stateful_claims(obj, ordinal):
                    self._bind(world.add(claim, age, _CONTROLLER))
                self._start(world.add(pods.stateful_pod(obj, ordinal, revision), age, _CONTROLLER))

    def _replica_set(self, owner: Object, source: Object, revision: int, age: float) -> None:
        """A ReplicaSet of `owner` with the template of `source`, and its pods."""
        made = deployment.new_replica_set(source, int(owner["spec"]["replicas"]), revision)
        owner["metadata"].setdefault("annotations", {})[deployment.REVISION] = str(revision)
        rs = self.world.add(made, age, _CONTROLLER)
        for _ in range(int(rs["spec"]["replicas"])):
            name = pods.random_name(rs, self.rng)
            self._start(self.world.add(pods.from_template(rs, rs["spec"]["template"], name), age, _CONTROLLER))

    def _job(self, obj: Object) -> None:
        """A Job that still runs, with its pod."""
        admission.complete_job(obj)
        age = self.world.minutes_old(obj)
        pod = self.world.add(job.pod_of(obj, pods.random_name(obj, self.rng)), age, _CONTROLLER)
        self._start(pod)
        status = {"startTime": self.world.time(age), "active": 1, "ready": 0, "uncountedTerminatedPods": {}}
        obj["status"] = status

    def _bind(self, claim: Object) -> None:
        world = self.world
        name = claim["spec"].get("storageClassName")
        storage_class = world.get("storageclasses.storage.k8s.io", None, name) if name else None
        if not storage_class:
            claim["status"] = {"phase": "Pending"}
            self._event("persistentvolume-controller", claim, "FailedBinding", volumes.NO_CLASS, warning=False)
            return
        volume = world.add(volumes.volume_for(claim, storage_class), world.minutes_old(claim), "nfs-client-provisioner")
        volume["status"] = {"phase": "Bound"}
        claim["spec"]["volumeName"] = volume["metadata"]["name"]
        notes = {"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"}
        claim["metadata"].setdefault("annotations", {}).update(notes)
        claim["metadata"]["finalizers"] = ["kubernetes.io/pvc-protection"]
        claim["status"] = volumes.bound_claim_status(claim, volume)

    def _start(self, pod: Object) -> None:
        """Give a new pod its node, address and state."""
        nodes = sorted(self.world.list("nodes"), key=lambda obj: str(obj["metadata"]["name"]))
        if not pod["spec"].get("nodeName"):
            node, message = "", placement.volume_reason(pod, self.world)
            if not message:
                node, message = placement.choose(pod, nodes, self._by_node)
            if not node:
                self._refuse(pod, message)
                return
            pod["spec"]["nodeName"] = node
        pod["spec"].setdefault("serviceAccountName", "default")
        pod["spec"]["serviceAccount"] = pod["spec"]["serviceAccountName"]
        self._by_node[pod["spec"]["nodeName"]].append(pod)
        self._settle_pod(pod)

    def _refuse(self, pod: Object, message: str) -> None:
        """Leave a pod that no node takes as the scheduler does."""
        at = self.world.time(self.world.minutes_old(pod))
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        conditions = [{"lastProbeTime": None, **condition, "lastTransitionTime": at}]
        pod["status"] = {"phase": "Pending", "conditions": conditions, "qosClass": podstatus.quality(pod)}
        self._event("default-scheduler", pod, "FailedScheduling", message, warning=True)

    def _event(self, component: str, obj: Object, reason: str, message: str, *, warning: bool) -> None:
        """An Event that has come again and again since the object was made, last a minute ago."""
        age = self.world.minutes_old(obj)
        made = events.event(component, obj, reason, message, warning)
        self.world.note(made, age, 1.0, max(int(age), 1))

    def _settle_pod(self, pod: Object) -> None:
        world = self.world
        node = world.get("nodes", None, pod["spec"].get("nodeName", ""))
        if not node:
            return
        age = world.minutes_old(pod)
        address = (pod.get("status") or {}).get("podIP") or podstatus.pod_address(pod, node, self._used)
        self._used.add(address)
        begun = world.time(age - 0.05)
        init = [
            podstatus.completed_entry(pod, spec, world.time(age - 0.1), world.time(age - 0.15))
            for spec in pod["spec"].get("initContainers") or []
        ]
        main = [self._containers.entry(pod, spec, age) for spec in pod["spec"]["containers"]]
        at = world.time(age - 0.4)
        pod["status"] = podstatus.status_of(
            {**pod, "status": {"startTime": begun}},
            init,
            main,
            at=at,
            host=podstatus.node_address(node),
            address=address,
            begun=begun,
        )

    # -- services ------------------------------------------------------------------------------------------------

    def _addresses(self) -> None:
        world = self.world
        taken = {service["spec"].get("clusterIP") for service in world.list("services")}
        number, port = 20, 30080
        for service in world.list("services"):
            spec = service["spec"]
            while not spec.get("clusterIP"):
                number += 1
                candidate = f"10.96.{number // 250}.{number % 250 + 1}"
                if candidate not in taken:
                    spec["clusterIP"] = candidate
            spec["clusterIPs"] = [spec["clusterIP"]]
            spec |= {"ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack"}
            service.setdefault("status", {"loadBalancer": {}})
            if spec.get("type") != "LoadBalancer":
                continue
            for entry in spec["ports"]:
                entry.setdefault("nodePort", port)
                port += 1
            pools = world.list(loadbalancer.POOLS)
            address, _ = loadbalancer.allocate(service, world.list("services"), pools)
            if address:
                service["status"] = {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}}

    def _endpoints(self) -> None:
        world = self.world
        for service in world.list("services"):
            if meta.key_of(service) == ("default", "kubernetes"):
                continue
            age = world.minutes_old(service)
            known = world.get("endpoints", *meta.key_of(service))
            if not service["spec"].get("selector"):
                if known:
                    world.add(endpoints.mirrored_slice(service, known), age, _CONTROLLER)
                continue
            there = world.list("pods", service["metadata"]["namespace"])
            world.add(endpoints.slice_of(service, there), age, _CONTROLLER)
            world.add(endpoints.endpoints_of(service, there), age, _CONTROLLER)

    # -- statuses ------------------------------------------------------------------------------------------------

    def _statuses(self) -> None:
        world = self.world
        owned: dict[str, list[Object]] = defaultdict(list)
        for obj in [*world.list("pods"), *world.list("replicasets.apps")]:
            owned[meta.controller_uid(obj)].append(obj)
        for rs in world.list("replicasets.apps"):
            rs["status"] = replicaset.status_of(rs, owned[meta.uid(rs)], None)
        for obj in world.list("deployments.apps"):
            obj["status"] = self._deployment_status(obj, owned[meta.uid(obj)])
        for obj in world.list("statefulsets.apps"):
            obj["status"] = statefulset.status_of(obj, owned[meta.uid(obj)], pods.revision_name(obj))
        for obj in world.list("daemonsets.apps"):
            wanted = daemonset.eligible(obj, world.list("nodes"))
            obj["status"] = daemonset.status_of(obj, owned[meta.uid(obj)], wanted, daemonset.revision_hash(obj))
        for kind, prefix in (("prometheuses", "prometheus"), ("alertmanagers", "alertmanager")):
            for owner in world.list(f"{kind}.monitoring.coreos.com"):
                namespace, name = meta.key_of(owner)
                found = world.get("statefulsets.apps", namespace, f"{prefix}-{name}")
                owner["status"] = self._aged(owner, operator_objects.resource_status(owner, found))
        for quota in world.list("resourcequotas"):
            hard = quota["spec"]["hard"]
            quota["status"] = {"hard": dict(hard), "used": dict.fromkeys(hard, "0")}
        for crd in world.list("customresourcedefinitions.apiextensions.k8s.io"):
            crd["status"] = self._established(crd)

    def _deployment_status(self, obj: Object, replica_sets: list[Object]) -> Object:
        current = next((rs for rs in replica_sets if deployment.same_template(rs, obj)), replica_sets[0])
        status = deployment.status_of(obj, current, replica_sets, 0.0)
        old = {**obj, "status": self._aged(obj, status)}
        deadline = float(obj["spec"].get("progressDeadlineSeconds") or 600)
        if self.world.minutes_old(obj) * 60 > deadline:
            status = deployment.status_of(old, current, replica_sets, deadline)
        return self._aged(obj, status)

    def _aged(self, obj: Object, status: Object) -> Object:
        """The status with its condition times set back to shortly after the object's creation."""
        at = self.world.time(self.world.minutes_old(obj) - 0.5)
        conditions = []
        for entry in status.get("conditions") or []:
            aged = {**entry, "lastTransitionTime": at}
            if "lastUpdateTime" in entry:
                aged["lastUpdateTime"] = at
            conditions.append(aged)
        return {**status, "conditions": conditions}

    def _established(self, crd: Object) -> Object:
        at = crd["metadata"]["creationTimestamp"]
        names = crd["spec"]["names"]
        conditions = [
            {"type": "NamesAccepted", "reason": "NoConflicts", "message": "no conflicts found"},
            {
                "type": "Established",
                "reason": "InitialNamesAccepted",
                "message": "initial names accepted",
            },
        ]
        return {
            "acceptedNames": names,
            "conditions": [{**entry, "status": "True", "lastTransitionTime": at} for entry in conditions],
            "storedVersions": [version["name"] for version in crd["spec"]["versions"] if version["storage"]],
        }
