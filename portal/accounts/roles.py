"""The four roles, as Django groups with permissions. Lower layers ask ``user.has_perm("deployments.run_tier2")``."""

from __future__ import annotations

from enum import StrEnum

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, PermissionsMixin


class Role(StrEnum):
    """From least to most: a person has the strongest of their groups."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"


_READ = ("checklists.view_board", "deployments.view_run")
_OPERATE = (
    "checklists.request_check",
    "checklists.attest_item",
    "deployments.make_plan",
    "deployments.run_tier0",
    "deployments.run_tier1",
    "deployments.run_tier2",
    "deployments.cancel_run",
)
PERMISSIONS: dict[Role, tuple[str, ...]] = {
    Role.VIEWER: _READ,
    Role.OPERATOR: _READ + _OPERATE,
    Role.APPROVER: (
        *_READ,
        "checklists.request_check",
        "checklists.attest_item",
        "deployments.approve_plan",
        "deployments.make_plan",
    ),
    Role.ADMIN: (
        *_READ,
        *_OPERATE,
        "deployments.approve_plan",
        "deployments.run_tier3",
        "deployments.stop_writes",
        "deployments.break_glass",
        "checklists.manage_project",
    ),
}


def role_of(user: AbstractBaseUser | AnonymousUser) -> Role | None:
    """The strongest role of a person, or None for a stranger."""
    if not user.is_authenticated or not user.is_active:
        return None
    if getattr(user, "is_superuser", False):
        return Role.ADMIN
    names = set(user.groups.values_list("name", flat=True)) if isinstance(user, PermissionsMixin) else set()
    for role in reversed(Role):
        if role.value in names:
            return role
    return None
