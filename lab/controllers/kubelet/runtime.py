"""One container's life: start, probes, exit, back-off. Pure apart from the time it is given.

Times are demo seconds (`World.seconds` turns them into real ones); what the API shows is wall-clock text. A container
found in a pod's status (a loaded scenario, a restarted lab) is taken over as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from lab.controllers import meta
from lab.controllers.client import Object
from lab.controllers.kubelet import podstatus
from lab.controllers.kubelet.behaviour import Behaviour, Exit, decide
from lab.controllers.rights import View
from lab.plain import copied

_FIRST_BACKOFF, _MAX_BACKOFF, _CALM = 10.0, 300.0, 600.0
_CONFIG_RETRY = 5.0
_LONG_AGO = 1e6
NEVER = float("inf")
Decision = Callable[[Object, Object, View], Behaviour]


@dataclass(frozen=True)
class Happening:
    """An Event to record: reason, message, whether it warns."""

    reason: str
    message: str
    warning: bool = False


@dataclass
class Run:
    """One container of one pod."""

    spec: Object
    entry: Object
    since: float = 0.0
    resume_at: float = 0.0
    crashes: int = 0
    behaviour: Behaviour = field(default_factory=Behaviour)
    bad_since: float = 0.0
    told: int = 0
    printed: int = 0
    lines: list[str] = field(default_factory=list)
    rotated: bool = False
    worked: bool = False  # what it leaves in the cluster has been written
    due: float = NEVER

    @property
    def name(self) -> str:
        return str(self.spec["name"])

    @property
    def running(self) -> bool:
        return "running" in self.entry["state"]

    @property
    def ended_well(self) -> bool:
        ended = self.entry["state"].get("terminated")
        return bool(ended and ended["exitCode"] == 0)


def adopted(pod: Object, spec: Object, entry: Object, view: View, now: float, speed: float) -> Run:
    """A run for a container that the pod's status already describes."""
    run = Run(spec, copied(entry), crashes=int(entry["restartCount"]))
    if run.running:
        behaviour = decide(pod, spec, view)
        started = meta.moment(entry["state"]["running"].get("startedAt"))
        age = (meta.wall() - started.timestamp()) / max(speed, 1e-3) if started else _LONG_AGO
        run.since = now - (_LONG_AGO if entry["ready"] else age)
        # it read its configuration when it started; what a start would do today does not matter to it
        run.behaviour = behaviour if not entry["ready"] else Behaviour(unhealthy_paths=behaviour.unhealthy_paths)
        run.bad_since = now if entry["ready"] else run.since
        run.printed = len(run.behaviour.log)
    elif (entry["state"].get("waiting") or {}).get("reason") == "CrashLoopBackOff":
        ended = meta.moment((entry["lastState"].get("terminated") or {}).get("finishedAt"))
        passed = (meta.wall() - ended.timestamp()) / max(speed, 1e-3) if ended else 0.0
        run.resume_at = now + max(backoff(run.crashes) - passed, 1.0)
    return run


def backoff(crashes: int) -> float:
    """Seconds before the next start after so many crashes; the first restart is immediate."""
    return 0.0 if crashes <= 1 else min(_FIRST_BACKOFF * 2.0 ** (crashes - 2), _MAX_BACKOFF)


def window(probe: Object) -> float:
    """How long a probe may fail before it counts."""
    return float(probe.get("periodSeconds") or 10) * float(probe.get("failureThreshold") or 3)


def delay(probe: Object) -> float:
    return float(probe.get("initialDelaySeconds") or 0)


def doom(spec: Object, behaviour: Behaviour) -> Exit | None:
    """How a container that starts like this ends: by itself, or killed by its probes, or (None) not at all."""
    if behaviour.exit:
        return behaviour.exit if behaviour.exit.code else None
    for probe in (spec.get("startupProbe"), None if spec.get("startupProbe") else spec.get("livenessProbe")):
        path = ((probe or {}).get("httpGet") or {}).get("path")
        if probe and (path in behaviour.unhealthy_paths or behaviour.listens_after > delay(probe) + window(probe)):
            return Exit(137, delay(probe) + window(probe))
    return None


class Life:
    """Advances one `Run`; collects Events to record and says when to look again (`run.due`)."""

    def __init__(
        self, pod: Object, run: Run, view: View, now: float, *, init: bool = False, rules: Decision = decide
    ) -> None:
        self.pod, self.run, self.view, self.now, self.init = pod, run, view, now, init
        self._decide = rules
        self.happenings: list[Happening] = []
        self.at = meta.now()

    def advance(self) -> None:
        run = self.run
        run.due = NEVER
        if "waiting" in run.entry["state"]:
            if self.now < run.resume_at:
                run.due = run.resume_at
                return
            self._try_start()
        if run.running:
            self._step()

    # -- starting ------------------------------------------------------------------------------------------------

    def _try_start(self) -> None:
        run = self.run
        behaviour = self._decide(self.pod, run.spec, self.view)
        if behaviour.waiting:
            self._hold(*behaviour.waiting)
            return
        restarts = run.entry["restartCount"] + (1 if run.entry["lastState"] else 0)
        before = run.entry["lastState"]
        run.entry = podstatus.running_entry(self.pod, run.spec, self.at, restarts)
        run.entry |= {"lastState": before, "ready": False, "started": not run.spec.get("startupProbe")}
        run.behaviour, run.since, run.bad_since = behaviour, self.now, self.now
        run.told = run.printed = 0
        run.rotated = bool(before)
        image = run.spec["image"]
        self._say("Pulled", f'Container image "{image}" already present on machine')
        self._say("Created", f"Created container {run.name}")
        self._say("Started", f"Started container {run.name}")

    def _hold(self, reason: str, message: str) -> None:
        run = self.run
        image = run.spec["image"]
        shown = run.entry["state"]["waiting"].get("reason")
        if reason == "ErrImagePull":
            if shown == "ErrImagePull":
                run.crashes += 1
                run.entry["state"] = {
                    "waiting": {"reason": "ImagePullBackOff", "message": f'Back-off pulling image "{image}"'}
                }
                self._say("BackOff", f'Back-off pulling image "{image}"')
                self._say("Failed", "Error: ImagePullBackOff", warning=True)
                run.resume_at = run.due = self.now + max(backoff(run.crashes + 1), _FIRST_BACKOFF)
                return
            self._say("Pulling", f'Pulling image "{image}"')
            self._say("Failed", f'Failed to pull image "{image}": {message}', warning=True)
            self._say("Failed", "Error: ErrImagePull", warning=True)
            run.resume_at = run.due = self.now + 2.0
        else:
            self._say("Failed", f"Error: {message}", warning=True)
            run.resume_at = run.due = self.now + _CONFIG_RETRY
        run.entry["state"] = {"waiting": {"reason": reason, "message": message}}

    # -- running -------------------------------------------------------------------------------------------------

    def _step(self) -> None:
        run = self.run
        elapsed = self.now - run.since
        self._print(elapsed)
        ending = run.behaviour.exit
        if ending and elapsed >= ending.after:
            self._end(ending.code, ending.reason)
            return
        if ending:
            self._look(run.since + ending.after)
        if not run.entry["ready"] or run.behaviour.unhealthy_paths:
            fresh = self._decide(self.pod, run.spec, self.view)
            run.behaviour = Behaviour(
                listens_after=run.behaviour.listens_after,
                unhealthy_paths=fresh.unhealthy_paths,
                exit=run.behaviour.exit,
                log=run.behaviour.log,
            )
        if self._startup(elapsed) and self._liveness():
            self._readiness(elapsed)

    def _healthy(self, probe: Object) -> bool:
        run = self.run
        path = (probe.get("httpGet") or {}).get("path", "")
        return self.now - run.since >= run.behaviour.listens_after and path not in run.behaviour.unhealthy_paths

    def _startup(self, elapsed: float) -> bool:
        """Whether the start-up phase is over. Kills the container when it took too long."""
        run = self.run
        probe = run.spec.get("startupProbe")
        if not probe or run.entry["started"]:
            run.entry["started"] = True
            return True
        if self._healthy(probe):
            run.entry["started"] = True
            run.bad_since = self.now
            return True
        limit = delay(probe) + window(probe)
        if elapsed >= limit:
            self._kill("startup", probe)
            return False
        self._look(run.since + limit, run.since + run.behaviour.listens_after, self._soon())
        return False

    def _liveness(self) -> bool:
        run = self.run
        probe = run.spec.get("livenessProbe")
        if not probe:
            return True
        if self._healthy(probe):
            run.bad_since = self.now
            run.told = 0
            return True
        begin = max(run.bad_since, run.since + delay(probe))
        period = float(probe.get("periodSeconds") or 10)
        failures = int((self.now - begin) // period) if self.now > begin else 0
        if failures > run.told:
            run.told = failures
            self._probe_failed("Liveness", probe)
        if self.now >= begin + window(probe):
            self._kill("liveness", probe)
            return False
        self._look(begin + period * (failures + 1), run.since + run.behaviour.listens_after)
        return True

    def _readiness(self, elapsed: float) -> None:
        run = self.run
        probe = run.spec.get("readinessProbe")
        if not probe:
            ready = True
        else:
            ready = self._healthy(probe) and elapsed >= delay(probe)
            if not ready:
                if elapsed > delay(probe) + 1 and not run.entry["ready"] and run.told == 0:
                    self._probe_failed("Readiness", probe)
                self._look(max(run.since + run.behaviour.listens_after, run.since + delay(probe)), self._soon())
        run.entry["ready"] = ready
        if ready and run.behaviour.unhealthy_paths:
            self._look(self._soon())

    def _soon(self) -> float:
        return self.now + 5.0

    def _look(self, *times: float) -> None:
        later = [moment for moment in times if moment > self.now]
        self.run.due = min([self.run.due, *later])

    # -- ending --------------------------------------------------------------------------------------------------

    def _kill(self, which: str, probe: Object) -> None:
        self._probe_failed(which.capitalize(), probe)
        self._say("Killing", f"Container {self.run.name} failed {which} probe, will be restarted")
        self._end(137, "Error")

    def _end(self, code: int, reason: str) -> None:
        run = self.run
        ended = {
            "containerID": run.entry["containerID"],
            "exitCode": code,
            "reason": reason,
            "startedAt": run.entry["state"]["running"]["startedAt"],
            "finishedAt": self.at,
        }
        if self.now - run.since >= _CALM:
            run.crashes = 0
        run.crashes += 1
        run.entry |= {"ready": False, "started": False}
        policy = self.pod["spec"].get("restartPolicy", "Always")
        native = podstatus.is_native_sidecar(run.spec)
        if self.init and not native:
            policy = "OnFailure" if policy == "Always" else policy
        if policy == "Never" or (policy == "OnFailure" and code == 0):
            run.entry["state"] = {"terminated": ended}
            run.entry["ready"] = bool(self.init and code == 0)
            return
        wait = backoff(run.crashes)
        run.resume_at = run.due = self.now + max(wait, 0.5)
        run.entry["lastState"] = {"terminated": ended}
        if wait == 0.0:
            run.entry["state"] = {"waiting": {"reason": "ContainerCreating"}}
            return
        name, namespace = self.pod["metadata"]["name"], self.pod["metadata"]["namespace"]
        where = f"pod={name}_{namespace}({meta.uid(self.pod)})"
        message = f"back-off {go_duration(wait)} restarting failed container={run.name} {where}"
        run.entry["state"] = {"waiting": {"reason": "CrashLoopBackOff", "message": message}}
        text = f"Back-off restarting failed container {run.name} in pod {where.removeprefix('pod=')}"
        self._say("BackOff", text, warning=True)

    # -- telling -------------------------------------------------------------------------------------------------

    def _probe_failed(self, which: str, probe: Object) -> None:
        if self.now - self.run.since >= self.run.behaviour.listens_after:
            text = f"{which} probe failed: HTTP probe failed with statuscode: 503"
        else:
            text = refused(which, probe, self.pod, self.run.spec)
        self._say("Unhealthy", text, warning=True)

    def _print(self, elapsed: float) -> None:
        run = self.run
        stamp = self.at.replace("Z", ".000000000Z")
        while run.printed < len(run.behaviour.log) and run.behaviour.log[run.printed][0] <= elapsed:
            run.lines.append(run.behaviour.log[run.printed][1].replace("{at}", stamp))
            run.printed += 1
        if run.printed < len(run.behaviour.log):
            self._look(run.since + run.behaviour.log[run.printed][0])

    def _say(self, reason: str, message: str, warning: bool = False) -> None:
        self.happenings.append(Happening(reason, message, warning))


def refused(which: str, probe: Object, pod: Object, spec: Object) -> str:
    """What the kubelet says of a probe that nobody answers."""
    http = probe.get("httpGet") or {}
    port = meta.port_number(http.get("port", 0), [spec]) or http.get("port")
    address = (pod.get("status") or {}).get("podIP", "")
    url = f'Get "http://{address}:{port}{http.get("path", "/")}"'
    return f"{which} probe failed: {url}: dial tcp {address}:{port}: connect: connection refused"


def go_duration(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole}s" if whole < 60 else f"{whole // 60}m{whole % 60}s"
