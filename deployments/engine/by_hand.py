"""The line that does what a step does, for a person at a shell. Runs in bash as printed. Pure.

What a run fills in is filled in by the shell: the time, the name of who types it, a generated secret. Left out are the
preconditions on what was read. Grafana and Alertmanager are asked at ``$GRAFANA_URL`` (with ``$GRAFANA_TOKEN``) and
``$ALERTMANAGER_URL``. All other text is quoted: it comes from a cluster and must not be run.
"""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

from deployments.catalogue.action import Apply, Call, Create, Delete, Evict, FileEdit, HeadOf, Patch, StepSpec
from deployments.catalogue.argo import credentials
from deployments.engine.document import fill, words
from deployments.engine.filling import field_manager
from integrations.kubernetes.kinds import RESOURCES

#: the mark of what no run wrote
MARK_BY_HAND = "by-hand"
_TIME, _USER, _SECRET = "@@phaseboard-time@@", "@@phaseboard-user@@", "@@phaseboard-secret@@"
_WORDS = words(_USER, MARK_BY_HAND, _TIME, _SECRET)
_FILLED = re.compile(rf"{_TIME}(?: \+ (\d+) s)?|{_USER}|{_SECRET}")
_STAMP = "+%Y-%m-%dT%H:%M:%SZ"


def command(spec: StepSpec, slug: str) -> str:
    """The line; empty for a step that only waits. ``slug``: the action's."""
    effect = spec.effect
    scope = f"-n {shlex.quote(spec.namespace)} " if spec.namespace else ""
    target = f"{spec.resource} {shlex.quote(spec.name)}"
    manager = f"--field-manager={shlex.quote(field_manager(slug, effect))}"
    if isinstance(effect, Patch | Apply | Create) and credentials.is_masked(effect.body):
        said = "it writes text that holds credentials, which the portal reads only when it sends it"
        return f"kubectl {scope}edit {target} {manager} # {said}"
    match effect:
        case Patch(patch_type, body):
            return f"kubectl {scope}patch {target} {manager} --type {patch_type} -p {_json(body)}"
        case Apply(body, _):
            return f"kubectl apply --server-side {manager} -f - <<< {_json(body)}"
        case Create(body):
            return f"kubectl create {manager} -f - <<< {_json(body)}"
        case Delete(propagation, grace):
            force = f" --grace-period={grace}" if grace is not None else ""
            forced = " --force" if grace == 0 else ""
            return f"kubectl {scope}delete {target} --cascade={propagation.lower()}{force}{forced}"
        case Evict():
            path = RESOURCES["pods"].path(spec.namespace, spec.name, subresource="eviction")
            name = {"name": spec.name, "namespace": spec.namespace}
            body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": name}
            return f"kubectl create --raw {shlex.quote(path)} -f - <<< {_json(body)}"
        case Call(service="github"):
            return _git(effect)
        case Call():
            return _curl(effect)
        case _:
            return ""


def _curl(effect: Call) -> str:
    name = effect.service.upper()
    token = f' -H "Authorization: Bearer ${name}_TOKEN"' if effect.service == "grafana" else ""
    body = f" -d {_json(effect.body)}" if effect.body is not None else ""
    url = f'"${name}_URL"{shlex.quote(fill(effect.path, _WORDS))}'
    return f"curl --fail-with-body -X {effect.method}{token} -H 'Content-Type: application/json' {url}{body}"


def _git(effect: Call) -> str:
    """The same in a clone of the repository, with Git and GitHub's own command line."""
    body = effect.body or {}
    match effect.prepared:
        case HeadOf(_, branch):
            made = str(body.get("ref", "")).removeprefix("refs/heads/")
            return f"git fetch origin && git switch -c {_words(made)} {shlex.quote(f'origin/{branch}')}"
        case FileEdit() as edit:
            message = _words(str(body.get("message", "")).partition("\n")[0])
            commit = f"git commit -m {message} -- {shlex.quote(edit.path)}"
            return f"git apply <patch of this plan> && {commit} && git push -u origin HEAD"
    if effect.method == "PATCH":
        return f"gh pr close {shlex.quote(effect.path.rpartition('/')[2])}"
    if effect.method == "DELETE":
        return f"git push origin --delete {shlex.quote(effect.path.partition('/git/refs/heads/')[2])}"
    said = {key: _words(str(body.get(key, ""))) for key in ("base", "head", "title", "body")}
    return f"gh pr create {' '.join(f'--{key} {text}' for key, text in said.items())}"


def _words(text: str) -> str:
    """Text of a request in quotes, with what a run fills in."""
    quoted = shlex.quote(fill(text, _WORDS))
    return _FILLED.sub(lambda match: f"'\"$({_shell(match)})\"'", quoted)


def _json(body: Any) -> str:
    """The body in one pair of quotes, which the shell leaves only where it fills something in."""
    text = json.dumps(fill(body, _WORDS), separators=(",", ":"), ensure_ascii=False)
    return _FILLED.sub(lambda match: f"'\"$({_shell(match)})\"'", shlex.quote(text))


def _shell(match: re.Match[str]) -> str:
    if match.group() == _USER:
        return "id -un"
    if match.group() == _SECRET:
        return "openssl rand -hex 24"
    later = f" -d '+{match.group(1)} seconds'" if match.group(1) else ""
    return f"date -u{later} {_STAMP}"
