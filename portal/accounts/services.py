"""Roles and people, made idempotently by ``serve`` and commands. Passwords are returned to be printed, never logged."""

from __future__ import annotations

import secrets
from datetime import timedelta

from django.contrib.auth.models import Group, Permission, User
from django.db import transaction

from common.clock import now
from common.models import AuditEvent, audit
from portal.accounts.roles import PERMISSIONS, Role

#: refused sign-ins of one name in five minutes before it must wait
MAX_REFUSED = 10
REFUSED = "sign-in refused"


@transaction.atomic
def ensure_roles() -> None:
    """Make the four groups hold exactly the permissions of :data:`PERMISSIONS`."""
    known = {f"{p.content_type.app_label}.{p.codename}": p for p in Permission.objects.select_related("content_type")}
    for role, names in PERMISSIONS.items():
        group, _ = Group.objects.get_or_create(name=role.value)
        group.permissions.set([known[name] for name in names])


@transaction.atomic
def ensure_demo_users() -> list[tuple[str, str]]:
    """One person per role for the lab, with well-known passwords; ``(name, password)`` of each, to be printed."""
    ensure_roles()
    people = []
    for role in Role:
        name, password = role.value, f"{role.value}-demo"
        user, created = User.objects.get_or_create(username=name)
        if created or not user.check_password(password):
            user.set_password(password)
            user.save(update_fields=["password"])
        user.groups.set([Group.objects.get(name=role.value)])
        people.append((name, password))
    return people


@transaction.atomic
def ensure_admin() -> tuple[str, str] | None:
    """With a real cluster: one admin with a random password, returned the one time it is made, else None."""
    ensure_roles()
    group = Group.objects.get(name=Role.ADMIN.value)
    if (
        group.user_set.filter(is_active=True).exists()
        or User.objects.filter(is_superuser=True, is_active=True).exists()
    ):
        return None
    password = secrets.token_urlsafe(12)
    user, _ = User.objects.get_or_create(username="admin")
    user.set_password(password)
    user.is_active = True
    user.save()
    user.groups.set([group])
    audit(actor="system", verb="admin made", object="user:admin")
    return user.username, password


def must_wait(name: str) -> bool:
    """Whether too many sign-ins of this name were refused lately."""
    since = now() - timedelta(minutes=5)
    return AuditEvent.objects.filter(verb=REFUSED, object=f"user:{name}"[:300], at__gte=since).count() >= MAX_REFUSED
