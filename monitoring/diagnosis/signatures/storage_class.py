"""S1: a StorageClass that is not there, is not the default, or is one default of several."""

from __future__ import annotations

from collections.abc import Iterable

from integrations.kubernetes.objects import StorageClass
from monitoring.checks.storage import CLASSES, is_default
from monitoring.checks.text import listing
from monitoring.diagnosis.base import Layer, Signature, finding
from monitoring.diagnosis.remedies import DEFAULT_CLASS, remedy
from monitoring.diagnosis.scene import Scene
from monitoring.snapshot import Need, Objects
from monitoring.verdict import Finding


def needs(scene: Scene) -> Iterable[Need]:
    if scene.kind == "storage_class":
        yield Objects(CLASSES)


def find(scene: Scene) -> Finding | None:
    if scene.kind != "storage_class" or not scene.known(CLASSES):
        return None
    classes: list[StorageClass] = sorted(scene.read(CLASSES), key=lambda item: item.metadata.name)
    defaults = [item.metadata.name for item in classes if is_default(item)]
    names = listing(item.metadata.name for item in classes) or "none"
    evidence = (f"StorageClasses: {names}", f"marked as default: {listing(defaults) or 'none'}")
    if scene.name and scene.name not in {item.metadata.name for item in classes}:
        return finding(
            "S1",
            "storage_class_missing",
            "The StorageClass is not there",
            f"StorageClass {scene.name} is not there, so claims that name it wait. Create it again.",
            evidence,
            0.95,
        )
    if not scene.subject.get("default"):
        return None
    if defaults == [scene.name]:
        return None
    several = len(defaults) > 1
    return finding(
        "S1",
        "several_default_classes" if several else "other_default_class" if defaults else "no_default_class",
        "The default StorageClass is not as it should be",
        (
            f"{listing(defaults)} are all marked as default, and the newest of them wins. Leave the mark on "
            f"{scene.name} alone."
            if several
            else f"{listing(defaults)} is the default and not {scene.name}. Move the mark."
            if defaults
            else f"No StorageClass is the default, so claims that name none wait. Mark {scene.name}."
        ),
        evidence,
        0.95,
        remedies=(remedy(DEFAULT_CLASS, name=scene.name),),
    )


SIGNATURES = (
    Signature(
        "S1",
        Layer.VOLUME,
        "A StorageClass is missing, is not the default, or is one default of several.",
        "https://kubernetes.io/docs/concepts/storage/storage-classes/#default-storageclass",
        find,
        needs,
    ),
)
