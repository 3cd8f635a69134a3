"""W7: the runtime cannot start the container: no such command, another user than allowed, a mount that does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from re import Pattern

from monitoring.checks.text import clean, phrase
from monitoring.diagnosis.base import Layer, Signature, event_line, finding, log_line, pattern, says
from monitoring.diagnosis.containers import ended_at, rollback, rollout_words, state_of
from monitoring.diagnosis.scene import Bad, Scene
from monitoring.verdict import Finding

# kubelet and runc: pkg/kubelet/kuberuntime, opencontainers/runc
_WAITING = {
    "RunContainerError",
    "CreateContainerError",
    "CreateContainerConfigError",
    "PostStartHookError",
    "PreStartHookError",
    "ContainerCannotRun",
    "StartError",
}
_OWN_MESSAGE = pattern(r"not found$|couldn't find key|non-existent (?:secret|config) key")


@dataclass(frozen=True, slots=True)
class _Why:
    cause: str
    words: Pattern[str]
    story: str
    advice: str


_WHYS = (
    _Why(
        "wrong_processor",
        pattern(r"exec format error"),
        "the image is built for another processor than the node's",
        "Use an image for it, or keep the pod off that node.",
    ),
    _Why(
        "must_not_run_as_root",
        pattern(r"runasnonroot|image will run as root|non-numeric user"),
        "it may not run as root and its image does",
        "Set runAsUser to a number that is not 0.",
    ),
    _Why(
        "no_such_command",
        pattern(r"executable file not found|no such file or directory.{0,40}unknown|exec: [^\n]{1,200}no such file"),
        "its command is not in the image",
        "Correct command and args, or the image.",
    ),
    _Why(
        "command_not_allowed",
        pattern(r"exec[^\n]{0,200}permission denied|permission denied: unknown|operation not permitted"),
        "its command may not be executed",
        "Look at the file's mode in the image and at the security context.",
    ),
    _Why(
        "limit_below_start",
        pattern(r"init was oom-killed|memory limit too low"),
        "its memory limit is too small even to start it",
        "Raise the limit in the values of its chart.",
    ),
    _Why(
        "mount_does_not_fit",
        pattern(r"subpath|not a directory|are you trying to mount a directory onto a file|mountpoint|mount through"),
        "something is mounted where it does not fit",
        "Correct mountPath and subPath.",
    ),
    _Why(
        "hook_failed",
        pattern(r"poststarthook|prestarthook|lifecycle hook"),
        "its start hook fails",
        "Correct the hook, or take it out.",
    ),
    _Why(
        "runtime_is_slow",
        pattern(r"context deadline exceeded|is reserved for|failed to reserve container name"),
        "the node's container runtime does not get it done in time",
        "Look at the load and the disk of that node.",
    ),
)


def find(scene: Scene) -> Finding | None:
    for bad in scene.bad:
        if bad.recovered or says(_OWN_MESSAGE, bad.message.strip()):
            continue
        text = _said(bad)
        line = bad.log_says(_WHYS[0].words)
        if not text and not line:
            continue
        why = next((each for each in _WHYS if says(each.words, f"{bad.waiting} {text} {line}")), None)
        said = why.story if why else phrase(text, 160)
        events = scene.events_of(bad.pod.metadata.name, "Failed")
        return finding(
            "W7",
            why.cause if why else "cannot_start",
            "The container cannot be started",
            f"{clean(bad.name, 60)} of {bad.pod.metadata.name} cannot be started: {said}. "
            + (why.advice if why else "Read what the runtime says below."),
            (
                state_of(bad),
                clean(text, 300),
                log_line(bad.name, line) if line else "",
                event_line(scene, events[-1]) if events and not text else "",
                rollout_words(scene, bad),
            ),
            0.93 if why else 0.7,
            remedies=rollback(scene, bad),
            at=ended_at(bad),
        )
    return None


def _said(bad: Bad) -> str:
    """What kubelet or runtime said: while it waits, or of the run that never was."""
    if bad.waiting in _WAITING:
        return bad.message or bad.waiting
    last = bad.last
    if last is not None and (last.reason in _WAITING or last.exit_code in {126, 127, 128}):
        return last.message or f"{last.reason or 'ended'} with exit code {last.exit_code}"
    return ""


SIGNATURES = (
    Signature(
        "W7",
        Layer.CONTAINER,
        "The runtime cannot start a container: command, user, mount or hook.",
        "https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/",
        find,
    ),
)
