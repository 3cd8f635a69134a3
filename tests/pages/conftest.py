"""The board of the shipped project with evidence, and a browser-less client per role."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from portal.accounts.roles import Role
from portal.checklists.models import Project
from tests.pages import world

ClientFor = Callable[[Role | None], Client]


@pytest.fixture
def board(db: Any) -> Project:
    """The shipped project; Grafana's checks fail, the rest is verified."""
    return world.build()


@pytest.fixture
def client_for(board: Project) -> ClientFor:
    """A client signed in as a role, or a stranger's."""

    def make(role: Role | None) -> Client:
        client = Client()
        if role is not None:
            client.force_login(User.objects.get(username=role.value))
        return client

    return make
