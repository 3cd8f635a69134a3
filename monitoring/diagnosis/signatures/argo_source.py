"""A9b, A10, A11, A12, A18: Argo CD has no target state, or may not use it: the repository, the manifests, the project.

The controller's own words are matched: argo-cd controller/appcontroller.go, controller/state.go, reposerver/repository
and util/{git,helm}. The first row that fits names the cause; who is refused comes before what cannot be reached.
"""

from __future__ import annotations

from monitoring.checks.text import clean, listing, phrase
from monitoring.diagnosis.argo_words import cascades, condition_of, facts, for_app, name_of, said
from monitoring.diagnosis.base import Layer, Signature, finding, from_then, says
from monitoring.diagnosis.remedies import REFRESH, STOP_DELETION
from monitoring.diagnosis.scene import Scene
from monitoring.verdict import Finding

_ROWS = (
    said(
        "A12",
        r"(?:is|are) not permitted in project|not permitted to use project|project [^\n]{1,120} (?:does not exist|"
        r"not found)",
        "not_permitted",
        "The AppProject does not admit the Application",
        "Correct the project or the spec.",
    ),
    said(
        "A20",
        r"conversion webhook for [^\n]{1,200} failed",
        "conversion_webhook",
        "A conversion webhook does not answer, so Argo CD cannot read what is live",
        "Bring back the Service behind it: nothing in this cluster can be compared until then.",
    ),
    said(
        "A12",
        r"(?:synchronizing cache state|failed to (?:load|list)|live state)[^\n]{0,400}(?:is forbidden: user|cannot "
        r"(?:list|watch) resource)",
        "may_not_read_cluster",
        "Argo CD may not read what it has to compare",
        "Give its account the right that the message names, or exclude the kind in its settings.",
    ),
    said(
        "A12",
        r"(?:cluster|live state|cache state|server version)[^\n]{0,400}(?:asked for the client to provide credentials|"
        r": unauthorized)",
        "cluster_refuses_sign_in",
        "The cluster does not let Argo CD in",
        "Renew the credentials in the cluster's Secret of Argo CD.",
    ),
    said(
        "A12",
        r"unable to get cluster|error getting cluster|failed to get cluster|cluster [^\n]{1,200} not (?:found|"
        r"configured)|cluster '[^\n]{1,200}' has not been configured|failed to sync cluster|"
        r"error synchronizing cache state",
        "cluster_unreachable",
        "Argo CD cannot use the cluster it should deploy to",
        "Look at the cluster's Secret in Argo CD, and at the way there.",
    ),
    said(
        "A10",
        r"code = unimplemented|unknown (?:method|service) ",
        "versions_differ",
        "Argo CD's controller and repo-server are of different versions",
        "Bring both to one version; what was not updated has to be restarted.",
    ),
    said(
        "A10",
        r"code = unavailable|repo-server[^\n]{0,120}(?:refused|timeout|no such host)|:8081[^\n]{0,80}(?:refused|"
        r"timeout)|connection error: desc",
        "repo_server_down",
        "Argo CD's repo-server does not answer",
        "Bring its pod back; nothing can be rendered until then.",
    ),
    said(
        "A10",
        r"no space left on device|disk quota exceeded",
        "repo_server_disk_full",
        "Argo CD's repo-server has no room on its disk",
        "Give its volumes more room or restart it; look at what it keeps of large repositories.",
        REFRESH,
    ),
    said(
        "A11",
        r"toomanyrequests|rate limit|\b429\b",
        "repository_limited",
        "The repository takes no more requests for now",
        "Wait, or ask less often.",
        REFRESH,
    ),
    said(
        "A11",
        r"authentication required|authentication failed|authorization failed|invalid (?:username|credentials|auth)|"
        r"could not read (?:username|password)|permission denied \(publickey|unable to authenticate|unauthorized|"
        r"\b401\b|\b403\b|access denied|denied: requested access|repository not found|"
        r"support for password authentication was removed|bad credentials|token (?:is )?expired",
        "repository_unreachable",
        "Argo CD cannot read the repository",
        "It is not let in, or the repository is not there: correct the credentials Secret or the address, then "
        "refresh.",
        REFRESH,
    ),
    said(
        "A11",
        r"knownhosts|host key|ssh: handshake failed|x509|certificate|tls: ",
        "repository_unreachable",
        "Argo CD cannot read the repository",
        "Its certificate or host key is not known: give it to Argo CD, then refresh.",
        REFRESH,
    ),
    said(
        "A11",
        r"unable to resolve '?\"?[^\n]{1,120}'?\"? to a commit|couldn't find remote ref|unknown revision|"
        r"ambiguous argument|reference not found|not our ref|invalid revision",
        "revision_missing",
        "The revision is not in the repository",
        "Correct targetRevision, or push it, then refresh.",
        REFRESH,
    ),
    said(
        "A10",
        r"(?:chart|version) [^\n]{0,200}not found in|no chart (?:name|version) found|chart [^\n]{1,120} not found|"
        r"could not download chart|improper constraint",
        "chart_missing",
        "The chart or its version is not to be had",
        "Correct the chart's name and version in Git, then refresh.",
        REFRESH,
    ),
    said(
        "A11",
        r"no such host|server misbehaving|i/o timeout|connection (?:refused|reset)|tls handshake timeout|"
        r"network is unreachable|no route to host|unexpected eof|: eof\b|proxyconnect|unable to resolve|"
        r"is not a valid chart repository or cannot be reached|failed to fetch \S|\b50[0-4]\b|client\.timeout|dial tcp",
        "repository_unreachable",
        "Argo CD cannot read the repository",
        "Look at the way from Argo CD to it: name, proxy, network; then refresh.",
        REFRESH,
    ),
    said(
        "A10",
        r"deadline ?exceeded|context canceled|signal: killed",
        "render_times_out",
        "Argo CD does not get the manifests rendered in time",
        "Give the repo-server more time or memory; look at what the chart pulls in.",
        REFRESH,
    ),
    said(
        "A10",
        r"app path does not exist|no such file or directory|does not exist in",
        "path_missing",
        "The path or a file the Application names is not in the repository",
        "Correct path or valueFiles in Git, then refresh.",
        REFRESH,
    ),
    said(
        "A10",
        r"failed to calculate diff|error (?:calculating|creating) (?:structured merge )?diff|"
        r"field not declared in schema|failed to compare desired state",
        "cannot_compare",
        "Argo CD cannot compare Git with what is live",
        "Correct the field that the message names, or turn server-side diff off for it.",
        REFRESH,
    ),
    said(
        "A10",
        r"failed to generate manifest|failed to load target state|manifest generation error|helm template|"
        r"kustomize build|execution error at|parse error|yaml|schema",
        "cannot_render",
        "Argo CD cannot render the manifests",
        "Correct what the message names in Git, then refresh.",
        REFRESH,
    ),
)
_LAST = _ROWS[-1]


#: whether Argo CD's finalizer takes everything the Application manages with it
_ADVICE = {
    True: "Was it meant? Then look at the objects that do not go; else let it go alone, and what it manages stays.",
    False: "Look at who keeps it.",
}


def deleting(scene: Scene) -> Finding | None:
    """A18: deletion asked for, finalizers remain."""
    app = scene.application
    if app is None or app.metadata.deletion_timestamp is None or not app.metadata.finalizers:
        return None
    at = app.metadata.deletion_timestamp
    error = condition_of(app, "DeletionError")
    left = [f"{item.kind} {item.name}" for item in app.status.resources if item.kind and not item.hook]
    return finding(
        "A18",
        "deletion_hangs",
        "The Application is being deleted",
        f"{name_of(app)} is being deleted{from_then(scene, at)} and waits for "
        f"{listing(app.metadata.finalizers)}. {_ADVICE[cascades(app)]}",
        (
            f"metadata.deletionTimestamp{from_then(scene, at)}, finalizers {listing(app.metadata.finalizers)}",
            f"DeletionError: {clean(error.message)}" if error else "",
            f"still listed: {listing(left)}" if left else "",
        ),
        0.95,
        remedies=(for_app(app, STOP_DELETION),) if cascades(app) else (),
        at=at,
    )


def invalid(scene: Scene) -> Finding | None:
    """A12: the AppProject or the destination does not admit it."""
    app = scene.application
    found = condition_of(app, "InvalidSpecError") if app else None
    if app is None or found is None:
        return None
    return finding(
        "A12",
        "not_permitted",
        "The AppProject does not admit the Application",
        f"Argo CD refuses the spec of {name_of(app)}: {phrase(found.message)}. Correct either.",
        (*facts(app, None, scene), f"InvalidSpecError: {clean(found.message, 300)}"),
        0.95,
        at=found.last_transition_time,
    )


def _compared(scene: Scene, *, server_down: bool) -> Finding | None:
    app = scene.application
    found = condition_of(app, "ComparisonError", "UnknownError") if app else None
    if app is None or found is None:
        return None
    entry = next((row for row in _ROWS if says(row.words, found.message)), None)
    row = entry or _LAST
    if (row.cause == "repo_server_down") != server_down:
        return None
    cached = " (cached)" in found.message[:4000]
    offers = tuple(for_app(app, slug, mode="hard" if cached or row.id == "A11" else "") for slug in row.offers)
    return finding(
        row.id,
        row.cause,
        row.title,
        f"{row.title}{from_then(scene, found.last_transition_time)}: {phrase(_told(found.message))}. {row.advice}",
        (*facts(app, None, scene), f"{found.type}: {clean(found.message, 300)}"),
        0.95 if entry else 0.7,
        remedies=offers,
        at=found.last_transition_time,
    )


def _told(message: str) -> str:
    """The message, or of a long one what the tool itself said at its end: the rest is how Argo CD called it."""
    before, error, said = message[:4000].rpartition(" Error: ")
    return f"{error.strip()} {said}" if error and len(before) > _LONG else message


#: of a message this long before the tool's own words, those would be cut away
_LONG = 120


def cannot_compare(scene: Scene) -> Finding | None:
    """A10, A11, A12: no target state."""
    return _compared(scene, server_down=False)


def repo_server(scene: Scene) -> Finding | None:
    """A10: the repo-server does not answer; its own pod may say why."""
    return _compared(scene, server_down=True)


def shared(scene: Scene) -> Finding | None:
    """A9b: two Applications render the same object."""
    app = scene.application
    found = condition_of(app, "SharedResourceWarning", "RepeatedResourceWarning") if app else None
    if app is None or found is None or (app.status.sync.status, app.status.health.status) == ("Synced", "Healthy"):
        return None
    return finding(
        "A9b",
        "shared_resource",
        "Two Applications claim the same object",
        f"{phrase(found.message)}, so each takes it from the other. Remove it from one of them, then sync the one that "
        "keeps it.",
        (*facts(app, None, scene), f"{found.type}: {clean(found.message, 300)}", *_tracked(scene, app.metadata.name)),
        0.85,
        at=found.last_transition_time,
    )


def _tracked(scene: Scene, name: str) -> list[str]:
    """Objects of the scene that carry another Application's tracking id."""
    return [
        f"{kind} {item.metadata.name}: tracking-id {clean(tracked, 200)}"
        for kind, item in scene.workloads
        if (tracked := item.metadata.annotations.get("argocd.argoproj.io/tracking-id", ""))
        and not tracked.startswith(f"{name}:")
    ][:2]


_PAGE = "https://argo-cd.readthedocs.io/en/stable/"
SIGNATURES = (
    Signature(
        "A18",
        Layer.SOURCE,
        "An Application is being deleted and its finalizers remain.",
        f"{_PAGE}user-guide/app_deletion/",
        deleting,
    ),
    Signature(
        "A12",
        Layer.SOURCE,
        "The AppProject or the destination does not admit an Application.",
        f"{_PAGE}user-guide/projects/",
        invalid,
    ),
    Signature(
        "A10",
        Layer.SOURCE,
        "Argo CD has no target state: it cannot render (A10), not read the repository (A11), or may not (A12).",
        f"{_PAGE}operator-manual/declarative-setup/#repositories",
        cannot_compare,
    ),
    Signature(
        "A10",
        Layer.SOURCE,
        "Argo CD's repo-server does not answer.",
        f"{_PAGE}operator-manual/high_availability/#argocd-repo-server",
        repo_server,
        follows=True,
    ),
    Signature(
        "A9b",
        Layer.SOURCE,
        "Two Applications render the same object.",
        f"{_PAGE}user-guide/sync-options/#fail-the-sync-if-a-shared-resource-is-found",
        shared,
    ),
)
