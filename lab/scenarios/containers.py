"""Containers as they are after all this time: running, waiting, or in a crash loop with its restarts."""

from __future__ import annotations

from lab.controllers import events, meta
from lab.controllers.client import Object
from lab.controllers.kubelet import podstatus, runtime
from lab.controllers.kubelet.behaviour import Behaviour, Exit, decide
from lab.scenarios.builder import Builder

Lines = list[tuple[str, str]]
Logs = dict[tuple[str, str, str], tuple[Lines, Lines]]


class Containers:
    """Decides by the kubelet's rules what a container has come to; collects what it printed into `logs`."""

    def __init__(self, world: Builder, logs: Logs) -> None:
        self.world, self.logs = world, logs

    def entry(self, pod: Object, spec: Object, age: float) -> Object:
        behaviour = decide(pod, spec, self.world)
        key = (*meta.key_of(pod), str(spec["name"]))
        if behaviour.waiting:
            reason, message = behaviour.waiting
            if reason == "ErrImagePull":  # after all this time it backs off
                reason, message = "ImagePullBackOff", f'Back-off pulling image "{spec["image"]}"'
            return podstatus.waiting_entry(spec, reason, message)
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
        lines = [line for offset, line in self._timed(behaviour, last_start) if offset <= ending.after]
        self.logs[namespace, name, str(spec["name"])] = (lines, lines)
        self._crash_event(pod, spec, message.partition("pod=")[2], crashes, last_end)
        if behaviour.exit is None:
            self._killed_events(pod, spec, crashes, last_end)
        return entry

    def _crash_event(self, pod: Object, spec: Object, where: str, crashes: int, ago: float) -> None:
        """The Event that the kubelet raises at every back-off."""
        text = f"Back-off restarting failed container {spec['name']} in pod {where}"
        self._event(pod, spec, "BackOff", text, crashes * 4, ago)

    def _killed_events(self, pod: Object, spec: Object, crashes: int, ago: float) -> None:
        """What the kubelet says of a container that its probes never found listening, before it kills it."""
        which = "startup" if spec.get("startupProbe") else "liveness"
        probe = spec[f"{which}Probe"]
        text = runtime.refused(which.capitalize(), probe, pod, spec)
        self._event(pod, spec, "Unhealthy", text, crashes * int(probe.get("failureThreshold") or 3), ago)
        killing = f"Container {spec['name']} failed {which} probe, will be restarted"
        self._event(pod, spec, "Killing", killing, crashes, ago, warning=False)

    def _event(
        self, pod: Object, spec: Object, reason: str, text: str, count: int, ago: float, *, warning: bool = True
    ) -> None:
        field = f"spec.containers{{{spec['name']}}}"
        made = events.event("kubelet", pod, reason, text, warning, pod["spec"]["nodeName"], field)
        self.world.note(made, self.world.minutes_old(pod) - 0.5, ago, count)

    def _lines(self, behaviour: Behaviour, minutes_ago: float) -> Lines:
        return [line for _offset, line in self._timed(behaviour, minutes_ago)]

    def _timed(self, behaviour: Behaviour, minutes_ago: float) -> list[tuple[float, tuple[str, str]]]:
        """(seconds after the start, line) of what a container prints that started so many minutes ago."""
        found = []
        for offset, text in behaviour.log:
            at = self.world.time(minutes_ago - offset / 60).replace("Z", ".000000000Z")
            found.append((offset, (at, text.replace("{at}", at))))
        return found
