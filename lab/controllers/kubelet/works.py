"""What a container leaves in the cluster when it has done its work. So far one program writes objects: certgen."""

from __future__ import annotations

from lab.controllers.client import ApiError, Client, Object
from lab.controllers.kubelet.behaviour import Behaviour, Exit, split_image
from lab.controllers.rights import View, allowed

CERTGEN = "kube-webhook-certgen"


def _certgen(container: Object) -> dict[str, str] | None:
    """Its arguments, with the first word under "work"; None for another program."""
    if not split_image(container["image"])[0].endswith(CERTGEN):
        return None
    words = [str(word) for word in container.get("args") or []]
    options = dict(word.removeprefix("--").partition("=")[::2] for word in words[1:])
    return {**options, "work": words[0] if words else ""}


def certgen_rule(pod: Object, container: Object, view: View) -> Behaviour | None:
    """Makes or reads the certificate's Secret, with the rights that its ServiceAccount has."""
    asked = _certgen(container)
    if asked is None:
        return None
    where, secret = asked.get("namespace", ""), asked.get("secret-name", "")
    account = pod["spec"].get("serviceAccountName") or "default"
    own = pod["metadata"]["namespace"]
    there = view.get("secrets", where, secret)
    verbs = ["get"] if there or asked["work"] != "create" else ["get", "create"]
    refused = next((verb for verb in verbs if not allowed(view, own, account, verb, "secrets", where)), "")
    if refused:
        who = f"system:serviceaccount:{own}:{account}"
        text = f'secrets \\"{secret}\\" is forbidden: User \\"{who}\\" cannot {refused} resource \\"secrets\\"'
        return Behaviour(exit=Exit(1, 1.0), log=((0.5, _line("fatal", f"error {refused}ting secret", text)),))
    if asked["work"] == "patch" and not there:
        return Behaviour(exit=Exit(1, 1.0), log=((0.5, _line("fatal", f"no secret with '{secret}' in '{where}'", "")),))
    told = {"create": "creating new secret" if not there else "secret already exists", "patch": "Patched hook(s)"}
    return Behaviour(
        exit=Exit(0, 1.5, "Completed"), log=((0.5, _line("info", told.get(asked["work"], asked["work"]), "")),)
    )


def _line(level: str, text: str, error: str) -> str:
    tail = f',"err":"{error}"' if error else ""
    return f'{{"level":"{level}","msg":"{text}","source":"cmd/create.go:36","time":"{{at}}"{tail}}}'


async def after(container: Object, view: View, client: Client) -> None:
    """Write what the container has written when it ended well."""
    asked = _certgen(container)
    if asked is None or asked["work"] != "create":
        return
    where, name = asked.get("namespace", ""), asked.get("secret-name", "")
    if view.get("secrets", where, name):
        return
    secret: Object = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": where},
        "type": "Opaque",
        "data": {"ca": "", "cert": "", "key": ""},
    }
    try:
        await client.named(CERTGEN).create("secrets", secret)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise
