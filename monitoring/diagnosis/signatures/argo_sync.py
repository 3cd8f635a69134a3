"""A7, A8, A12, A15, A19, A20: a sync that failed, by what it says of the reason."""

from __future__ import annotations

from integrations.kubernetes.custom import OperationState, SyncResultResource
from monitoring.checks.text import clean, phrase
from monitoring.diagnosis.argo_words import (
    FAILED,
    Said,
    condition_of,
    facts,
    for_app,
    name_of,
    said,
)
from monitoring.diagnosis.base import Layer, Signature, finding, says, shown
from monitoring.diagnosis.remedies import CLEAR_HOOK, SYNC
from monitoring.diagnosis.scene import Scene
from monitoring.verdict import Finding

_PAGE = "https://argo-cd.readthedocs.io/en/stable/"
_REFERENCES = {
    "A12": f"{_PAGE}user-guide/projects/",
    "A8": f"{_PAGE}user-guide/sync-options/#skip-dry-run-for-new-custom-resources-types",
    "A15": f"{_PAGE}user-guide/auto_sync/#automatic-pruning-with-allow-empty-v18",
    "A19": f"{_PAGE}user-guide/sync-options/",
    "A20": "https://github.com/prometheus-community/helm-charts/issues/4500",
}
_ROWS = (  # the first that fits; A19's rows say what the API server or an admission plugin refused
    said(
        "A12",
        r"(?:is|are) not permitted in project|not permitted to (?:use|sync)",
        "not_permitted",
        "The AppProject does not admit what Git wants",
        "Allow the kind, the namespace or the cluster in the project, or take the object out of Git.",
    ),
    said(
        "A7",
        r"Too long: (?:must have|may not be) (?:at most|more than) \d{1,12} (?:bytes|characters)",
        "annotation_too_long",
        "An object is too large for client-side apply",
        "Set syncOptions ServerSideApply=true.",
    ),
    said(
        "A8",
        r"could not find .{1,200} Make sure the|no matches for kind|the server could not find the requested resource|"
        r"ensure CRDs are installed",
        "crd_missing",
        "A resource kind is not installed",
        "Install its CRD first; look whether the CRD itself failed to apply.",
    ),
    said(
        "A15",
        r"auto-sync will wipe out all resources",
        "would_wipe_out",
        "The source renders nothing",
        "Correct the source; Argo CD refuses to delete everything.",
    ),
    said(
        "A20",
        r"failed (?:calling|to call) webhook \"[^\"]{0,120}monitoring\.coreos\.com|"
        r"conversion webhook for monitoring\.coreos\.com",
        "operator_webhook",
        "The Prometheus operator's webhook does not answer",
        "Bring the operator's Service back, or let its admission hook make the certificate anew.",
        CLEAR_HOOK,
    ),
    said(
        "A19",
        r"failed (?:calling|to call) webhook|conversion webhook for",
        "webhook_unreachable",
        "An admission webhook does not answer",
        "Bring back the Service behind it.",
    ),
    said(
        "A19",
        r"admission webhook \"[^\"]{1,200}\" denied|denied (?:the )?request|admissionpolicy '",
        "webhook_denied",
        "A policy denies what Git wants",
        "Change what the policy names, or the policy.",
    ),
    said(
        "A19",
        r"field is immutable|may not change once set|updates to [^\n]{1,80}(?:forbidden|immutable)|spec is immutable|"
        r"forbidden: updates to statefulset spec",
        "immutable_field",
        "A field that cannot be changed was changed",
        "The object has to be made anew: Replace=true,Force=true on that object alone, with its data in mind.",
    ),
    said(
        "A19",
        r"because it is being terminated",
        "namespace_ends",
        "The namespace is being deleted",
        "Wait for its end; then sync again.",
    ),
    said(
        "A19",
        r"(?:maximum|minimum) [^\n]{1,60} usage per|must be less than or equal to [^\n]{1,40} limit|failed quota",
        "limits",
        "The namespace's limits do not admit what Git wants",
        "Change requests and limits, or the LimitRange or quota.",
    ),
    said("A19", r"exceeded quota", "quota", "The namespace's quota is used up", "Raise the quota, or ask for less."),
    said(
        "A19",
        r"violates podsecurity",
        "pod_security",
        "Pod Security does not admit what Git wants",
        "Set the security context it names, or the namespace's level.",
    ),
    said(
        "A19",
        r"is forbidden|cannot (?:create|patch|update|delete|get|list) resource",
        "forbidden",
        "Argo CD may not do what the sync needs",
        "Look at the rights of its ServiceAccount and at the AppProject.",
    ),
    said(
        "A19",
        r"namespaces? \"[^\"]{1,120}\" not found",
        "namespace_missing",
        "The namespace is not there",
        "Set syncOptions CreateNamespace=true, or create it.",
    ),
    said(
        "A19",
        r"conflict with \"|apply failed with \d{1,4} conflict",
        "field_conflict",
        "Another manager owns a field",
        "Let one of them have it; say which in Git.",
    ),
    said(
        "A19",
        r"provided port is already allocated|already allocated|ip.{0,40}already",
        "address_taken",
        "An address or port is taken",
        "Choose another, or free it.",
    ),
    said(
        "A19",
        r"etcdserver: |database space exceeded|server is currently unable to handle|http2: client connection lost|"
        r"apiserver not ready|(?:6443|kubernetes\.default\S{0,40}:443)[^\n]{0,120}(?:refused|timeout|timed out)",
        "api_server_in_trouble",
        "The API server or its etcd did not take it",
        "Look at the control plane: etcd's space and latency, and its members; then sync.",
    ),
    said(
        "A19",
        r"is invalid: |invalid value|unsupported value|required value|unknown field|strict decoding error|"
        r"error validating data|cannot unmarshal",
        "invalid_object",
        "An object is not valid",
        "Correct what the message names in Git.",
    ),
    said(
        "A19",
        r"one or more objects failed to apply|one or more synchronization tasks are not valid|"
        r"synchronization tasks completed unsuccessfully",
        "sync_failed",
        "Objects could not be applied",
        "Correct what the messages name.",
    ),
)


def quoted(scene: Scene) -> Finding | None:
    """A7, A8, A15, A19, A20: the failed sync names its cause itself."""
    app = scene.application
    if app is None or app.status.sync.status not in {"OutOfSync", "Unknown"}:
        return None
    state = app.status.operation_state
    lost = _refused(state)
    error = condition_of(app, "SyncError")
    failed = state is not None and state.phase in FAILED
    texts = [row.message for row in lost]
    own = [state.message] if state is not None and failed else []
    if error is not None:
        own.append(error.message)
    found = _row(texts) or _row(own, only_own=not texts)
    if found is None:
        return None
    entry, text = found
    what = next((f"{row.kind} {row.name}" for row in lost if row.message == text), "")
    subject = f"{clean(what, 120)}: " if what else ""
    return finding(
        entry.id,
        entry.cause,
        entry.title,
        f"The sync of {name_of(app)} fails: {subject}{phrase(text)}. {entry.advice}",
        (
            *facts(app, state, scene),
            *(f"syncResult: {r.kind} {r.name} {r.status}: {clean(r.message, 240)}" for r in lost[:4]),
        ),
        0.98 if entry.cause != "sync_failed" else 0.6,
        remedies=[for_app(app, slug) for slug in (*entry.offers, SYNC)],
        at=state.finished_at if state else None,
        reference=_REFERENCES.get(entry.id, ""),
    )


def hook_failed(scene: Scene) -> Finding | None:
    """A19: a hook of the last sync failed. Its Job may be gone by then, and its pods with it."""
    app = scene.application
    state = app.status.operation_state if app else None
    if app is None or state is None or state.phase not in FAILED or app.status.sync.status == "Synced":
        return None
    rows = state.sync_result.resources or [] if state.sync_result else []
    lost = [row for row in rows if row.hook_type and row.hook_phase in FAILED]
    if not lost:
        return None
    row = lost[0]
    return finding(
        "A19",
        "hook_failed",
        "A hook of the sync failed",
        f"The sync of {name_of(app)} fails: its {clean(row.hook_type, 20)} hook {clean(row.kind, 40)} "
        f"{clean(row.name, 120)} failed: {phrase(row.message) or 'it does not say why'}. Read its log, or run it again "
        "by a sync and look while it runs.",
        (
            *facts(app, state, scene),
            *(f"syncResult: {r.kind} {r.name} {r.hook_type} {r.hook_phase}: {clean(r.message, 240)}" for r in lost[:3]),
        ),
        0.9,
        remedies=(for_app(app, SYNC),),
        at=state.finished_at,
        reference=f"{_PAGE}user-guide/resource_hooks/",
    )


def _refused(state: OperationState | None) -> list[SyncResultResource]:
    rows = state.sync_result.resources or [] if state is not None and state.sync_result else []
    phase = state.phase if state is not None else ""
    return [row for row in rows if row.status == "SyncFailed" and phase in {*FAILED, "Running"}]


def _row(texts: list[str], *, only_own: bool = True) -> tuple[Said, str] | None:
    for entry in _ROWS:
        if entry.cause == "sync_failed" and only_own:
            continue  # by itself it says only that something failed, which A2 says better
        text = next((text for text in texts if says(entry.words, text)), "")
        if text:
            return entry, text
    return None


def failed_otherwise(scene: Scene) -> Finding | None:
    """A19: the last operation failed, and it says why in words that no row knows."""
    app = scene.application
    state = app.status.operation_state if app else None
    if app is None or state is None or state.phase not in FAILED or app.operation is not None:
        return None
    if app.status.sync.status == "Synced" and app.status.health.status == "Healthy":
        return None
    return finding(
        "A19",
        "last_sync_failed",
        "The last sync failed",
        f"The last sync of {name_of(app)} ended in {clean(state.phase, 20)}{shown(scene, state.finished_at)}: "
        f"{phrase(state.message) or 'it does not say why'}. Correct what it names, then sync.",
        facts(app, state, scene),
        0.6,
        remedies=(for_app(app, SYNC),),
        at=state.finished_at,
        reference=_REFERENCES["A19"],
    )


SIGNATURES = (
    Signature(
        "A7",
        Layer.SYNC,
        "A failed sync names its cause: too large (A7), kind missing (A8), empty source (A15), refused objects (A19), "
        "the operator's webhook (A20).",
        f"{_PAGE}user-guide/sync-options/#server-side-apply",
        quoted,
    ),
    Signature(
        "A19",
        Layer.SYNC,
        "A hook of the last sync failed.",
        f"{_PAGE}user-guide/resource_hooks/",
        hook_failed,
    ),
    Signature(
        "A19",
        Layer.LAST,
        "The last operation of an Application failed for a reason no other signature knows.",
        _REFERENCES["A19"],
        failed_otherwise,
        follows=True,
    ),
)
