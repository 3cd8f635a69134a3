"""G4, G5: Grafana's data folder on a volume that belongs to somebody else."""

from __future__ import annotations

from monitoring.diagnosis.argo_words import to_grafana
from monitoring.diagnosis.base import Layer, Signature, finding, log_line
from monitoring.diagnosis.containers import ended_at, state_of
from monitoring.diagnosis.scene import Scene, claim_names
from monitoring.verdict import Finding


def chown(scene: Scene) -> Finding | None:
    """G4: init-chown-data on an export that squashes root."""
    for bad in scene.bad:
        line = bad.log_has(("operation not permitted", "read-only file system", "permission denied"))
        if bad.init and bad.name == "init-chown-data" and line:
            return finding(
                "G4",
                "chown_refused",
                "The volume refuses a change of owner",
                "init-chown-data may not change the owner on the volume, as an export with root_squash does. "
                "Set initChownData.enabled to false and give the export to uid 472.",
                (log_line(bad.name, line), state_of(bad)),
                0.9,
                remedies=to_grafana(scene),
                at=ended_at(bad),
            )
    return None


def not_writable(scene: Scene) -> Finding | None:
    """G5: Grafana itself may not write."""
    for bad in scene.main() if scene.kind == "grafana" else []:
        line = bad.log_has(("is not writable", "permission denied", "read-only file system", "readonly database"))
        if line and ("/var/lib/grafana" in line or "readonly database" in line.lower()):
            read_only = "read-only file system" in line.lower()
            # without a volume there it is the container's own file system (readOnlyRootFilesystem)
            own = read_only and bool(bad.pod.spec.containers) and not claim_names(bad.pod)
            return finding(
                "G5",
                "data_not_writable",
                "Grafana may not write its data folder",
                "Grafana may not write /var/lib/grafana: its root file system is read-only and no claim is mounted. "
                "Mount a volume there, an emptyDir at least, or allow it to write."
                if own
                else "Grafana may not write /var/lib/grafana on its volume"
                + (": it is mounted read-only. " if read_only else ". ")
                + "Give the export to uid 472, or turn persistence off.",
                (log_line(bad.name, line), state_of(bad)),
                0.9,
                remedies=to_grafana(scene),
                at=ended_at(bad),
            )
    return None


SIGNATURES = (
    Signature(
        "G5",
        Layer.CONTAINER,
        "Grafana may not write /var/lib/grafana.",
        "https://grafana.com/docs/grafana/latest/setup-grafana/installation/docker/#migrate-to-v51-or-later",
        not_writable,
    ),
    Signature(
        "G4",
        Layer.INIT,
        "init-chown-data may not change the owner of the data folder.",
        "https://github.com/rancher/charts/issues/2127",
        chown,
    ),
)
