"""`manage.py ensure_users`: the four roles, and somebody who can sign in. Safe to run at every start."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from portal.management.reading import SentenceCommand


class Command(SentenceCommand):
    """Demo users with the lab; with a cluster one administrator whose random password is printed once."""

    help = "Create the roles and, where there is nobody yet, somebody who can sign in."

    def handle(self, *args: Any, **options: Any) -> None:
        """Print what was made."""
        from portal.accounts import services

        services.ensure_roles()
        if settings.PORTAL_LAB:
            made = services.ensure_demo_users()
        else:
            admin = services.ensure_admin()
            made = [admin] if admin else []
        for name, password in made:
            self.stdout.write(f"{name:<10} {password}")
