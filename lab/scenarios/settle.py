"""Finishes a world: what the controllers would have made of it by now, by the controllers' own pure functions.

Order: custom resources, volumes, workloads and their pods, load balancers, endpoints, then all statuses. Pods that
cannot run are left as they would be after all this time (a crash loop with its restarts): the same rules decide.
"""

from __future__ import annotations

import random
from collections import defaultdict

from lab.controllers import (
    daemonset,
    deployment,
    endpoints,
    events,
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
from lab.controllers.kubelet import podstatus, runtime
from lab.controllers.kubelet.behaviour import Behaviour, Exit, decide
from lab.controllers.operator_alertmanager import alertmanager_set
from lab.controllers.operator_prometheus import prometheus_set
from lab.scenarios.builder import Builder

Lines = list[tuple[str, str]]
Logs = dict[tuple[str, str, str], tuple[Lines, Lines]]
_CONTROLLER = "kube-controller-manager"


class Settler:
    """One pass over one world."""

    def __init__(self, world: Builder, rng: random.Random) -> None:
        self.world, self.rng = world, rng
        self.logs: Logs = {}
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
            replica_set = deployment.new_replica_set(obj, int(obj["spec"]["replicas"]), 1)
            obj["metadata"].setdefault("annotations", {})[deployment.REVISION] = "1"
            rs = world.add(replica_set, age, _CONTROLLER)
            for _ in range(int(rs["spec"]["replicas"])):
                name = pods.random_name(rs, self.rng)
                self._start(world.add(pods.from_template(rs, rs["spec"]["template"], name), age, _CONTROLLER))
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

    def _bind(self, claim: Object) -> None:
        world = self.world
        name = claim["spec"].get("storageClassName")
        storage_class = world.get("storageclasses.storage.k8s.io", None, name) if name else None
        if not storage_class:
            claim["status"] = {"phase": "Pending"}
            return
        volume = world.add(volumes.volume_for(claim, storage_class), world.minutes_old(claim), "nfs-client-provisioner")
        volume["status"] = {"phase": "Bound"}
        claim["spec"]["volumeName"] = volume["metadata"]["name"]
        claim["metadata"]["annotations"] = {
            "pv.kubernetes.io/bind-completed": "yes",
            "pv.kubernetes.io/bound-by-controller": "yes",
        }
        claim["metadata"]["finalizers"] = ["kubernetes.io/pvc-protection"]
        claim["status"] = volumes.bound_claim_status(claim, volume)

    def _start(self, pod: Object) -> None:
        """Give a new pod its node, address and state."""
        nodes = sorted(self.world.list("nodes"), key=lambda obj: str(obj["metadata"]["name"]))
        if not pod["spec"].get("nodeName"):
            node, _ = placement.choose(pod, nodes, self._by_node)
            if not node:
                pod["status"] = {"phase": "Pending"}
                return
            pod["spec"]["nodeName"] = node
        pod["spec"].setdefault("serviceAccountName", "default")
        pod["spec"]["serviceAccount"] = pod["spec"]["serviceAccountName"]
        self._by_node[pod["spec"]["nodeName"]].append(pod)
        self._settle_pod(pod)

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
        main = [self._container(pod, spec, age) for spec in pod["spec"]["containers"]]
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

    def _container(self, pod: Object, spec: Object, age: float) -> Object:
        behaviour = decide(pod, spec, self.world)
        key = (*meta.key_of(pod), str(spec["name"]))
        if behaviour.waiting:
            return podstatus.waiting_entry(spec, *behaviour.waiting)
        started = self.world.time(age - 0.2)
        ending = runtime.doom(spec, behaviour)
        if ending:
            return self._crash_loop(pod, spec, behaviour, ending, age)
        self.logs[key] = (self._lines(behaviour, age - 0.2), [])
        entry = podstatus.running_entry(pod, spec, started)
        probe = spec.get("readinessProbe") or {}
        if (probe.get("httpGet") or {}).get("path") in behaviour.unhealthy_paths:
            entry["ready"] = False
        return entry

    def _crash_loop(self, pod: Object, spec: Object, behaviour: Behaviour, ending: Exit, age: float) -> Object:
        """The state after ending again and again since the pod began, last seen in its back-off."""
        seconds, crashes = age * 60 - 12.0, 0
        passed = 0.0
        while True:
            crashes += 1
            end = passed + ending.after
            wait = runtime.backoff(crashes)
            if end + wait > seconds and crashes > 1:
                break
            passed = end + max(wait, 0.5)
        last_start, last_end = age - (passed + 12.0) / 60, age - (passed + 12.0 + ending.after) / 60
        entry = podstatus.running_entry(pod, spec, self.world.time(last_start), crashes - 1)
        ended = {
            "containerID": entry["containerID"],
            "exitCode": ending.code,
            "reason": ending.reason,
            "startedAt": self.world.time(last_start),
            "finishedAt": self.world.time(last_end),
        }
        namespace, name = meta.key_of(pod)
        where = f"pod={name}_{namespace}({meta.uid(pod)})"
        message = f"back-off {runtime.go_duration(wait)} restarting failed container={spec['name']} {where}"
        entry |= {
            "ready": False,
            "started": False,
            "lastState": {"terminated": ended},
            "state": {"waiting": {"reason": "CrashLoopBackOff", "message": message}},
        }
        lines = self._lines(behaviour, last_start)
        self.logs[namespace, name, str(spec["name"])] = (lines, lines)
        self._crash_event(pod, spec, message.partition("pod=")[2], crashes, last_end)
        return entry

    def _crash_event(self, pod: Object, spec: Object, where: str, crashes: int, ago: float) -> None:
        """The Event that the kubelet raises at every back-off."""
        text = f"Back-off restarting failed container {spec['name']} in pod {where}"
        field = f"spec.containers{{{spec['name']}}}"
        made = events.event("kubelet", pod, "BackOff", text, True, pod["spec"]["nodeName"], field)
        first = self.world.time(self.world.minutes_old(pod) - 0.5)
        made |= {"count": crashes * 4, "firstTimestamp": first, "lastTimestamp": self.world.time(ago)}
        self.world.add(made, self.world.minutes_old(pod) - 0.5, "kubelet")

    def _lines(self, behaviour: Behaviour, minutes_ago: float) -> Lines:
        found = []
        for offset, text in behaviour.log:
            at = self.world.time(minutes_ago - offset / 60).replace("Z", ".000000000Z")
            found.append((at, text.replace("{at}", at)))
        return found

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
        current = replica_sets[0]
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
