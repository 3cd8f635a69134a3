"""Log lines as signatures see them: bounded, without colours, the previous run before this one."""

from __future__ import annotations

import re
from collections.abc import Iterable

from integrations.kubernetes.objects import Pod
from monitoring.diagnosis.scene import Scene
from monitoring.snapshot import Logs

#: of a longer line its beginning and its end are kept: patterns run over every line, and what went wrong stands at the
#: end of a structured one
_WIDEST, _HEAD, _TAIL = 1000, 640, 340
_MOST = 200
# ESC, or the picture of it that the reader puts there, and a colour or cursor command (ECMA-48)
_COLOUR = re.compile("[\x1b\N{SYMBOL FOR ESCAPE}]\\[[0-9;?]{0,20}[A-Za-z]")
# a line of level info and below tells what a program does
_QUIET = re.compile(
    r"\b(?:level|lvl)=\"?(?:info|debug|trace)\b|\"(?:level|severity)\": ?\"(?:info|debug|trace)\"", re.IGNORECASE
)


def _fields(names: str) -> re.Pattern[str]:
    """Fields of a line in logfmt or JSON with their quoted values; groups: the name in either form."""
    value = r"\"(?:[^\"\\]|\\.){0,900}\""
    return re.compile(rf"\b({names})={value}|\"({names})\": ?{value}", re.IGNORECASE)


#: all but what a program says in words of its own
_OTHERS = _fields(r"(?!(?:msg|message|err|error|reason)\b)[A-Za-z_.]{1,40}")
#: what people have named or written
_GIVEN = _fields(
    r"title|name|dashboard\w{0,20}|folder\w{0,20}|rule\w{0,20}|alert\w{0,20}|query|expr|sql|labels|annotations|"
    r"summary|description|user_?agent|referer|uname"
)
_LOUD = re.compile(
    r"\b(?:error|err|fatal|panic|exception|fail(?:ed|ure)?|cannot|could not|unable|denied|refused|critical|crit|"
    r"eror)\b",
    re.IGNORECASE,
)


def logs(pod: Pod, container: str, *, previous: bool) -> Logs:
    """The need for a container's log."""
    return Logs(pod.metadata.namespace, pod.metadata.name, container, previous=previous)


def lines_of(scene: Scene, pod: Pod, container: str) -> tuple[str, ...]:
    """What was read of a container's log; a log that was refused is a line in the scene's ``unread``."""
    lines: list[str] = []
    for previous in (True, False):
        need = logs(pod, container, previous=previous)
        reply = scene.snapshot.replies.get(need)
        if reply is None:
            continue
        if isinstance(reply.body, list):
            lines += [plain(str(line)) for line in reply.body[-_MOST:]]
        elif not previous or reply.status == 403 or "forbidden" in reply.error.lower():
            scene.gap(f"the log of {pod.metadata.name} {container}: {reply.error or 'it was not given'}")
    # what repeats is told once, where it stood last
    return tuple(reversed(dict.fromkeys(reversed(lines))))


def plain(line: str) -> str:
    """A line without colours, cut in its middle."""
    if len(line) > 4 * _WIDEST:
        line = f"{line[:_WIDEST]}…{line[-_WIDEST:]}"
    line = _own_words(_COLOUR.sub("", line))
    return line if len(line) <= _WIDEST else f"{line[:_HEAD]}…{line[-_TAIL:]}"


def _own_words(line: str) -> str:
    """A line without what it only quotes: a dashboard may be called "Runbook: no space left on device"."""
    if '"' not in line:
        return line
    quoted = _OTHERS if _QUIET.search(line) else _GIVEN
    return quoted.sub(lambda found: f"{found.group(1) or found.group(2)}=…", line)


def last_words(lines: Iterable[str], most: int = 3) -> list[str]:
    """The lines that most likely say why it ended: the last loud ones, else simply the last."""
    listed = [line for line in lines if line.strip()]
    near = listed[-40:]
    loud = [line for line in near if _LOUD.search(line)]
    chosen = loud[-most:] if loud else near[-most:]
    return list(dict.fromkeys([*chosen, *listed[-1:]]))[: most + 1]
