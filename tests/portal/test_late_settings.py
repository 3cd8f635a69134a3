"""The web process begins before the lab has written its addresses, and knows them as soon as they are written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from django.conf import settings

LAB = {
    "PORTAL_GRAFANA_URL": "http://127.0.0.1:3000",
    "PORTAL_GITHUB_URL": "http://127.0.0.1:3001/api/v3",
    "PORTAL_LAB_INBOX_URL": "http://127.0.0.1:3002",
}
#: asks the real application twice, the file being written between, and prints what the process knows each time
WEB = """
import json, os, pathlib, sys
from wsgiref.util import setup_testing_defaults
from portal.wsgi import application
from django.conf import settings

def asked():
    environ = {"PATH_INFO": "/healthz", "HTTP_HOST": "localhost"}
    setup_testing_defaults(environ)
    assert b"".join(application(environ, lambda status, headers: None)) == b"ok\\n"
    return [settings.PORTAL_GRAFANA_URL, settings.PORTAL_GITHUB_URL, os.environ.get("PORTAL_LAB_INBOX_URL", "")]

before = asked()
pathlib.Path(os.environ["PORTAL_KUBECONFIG"] + ".env").write_text(sys.argv[1])
print(json.dumps([before, asked(), asked()]))
"""


def answers(state: Path, **given: str) -> list[list[str]]:
    """What a web process with this environment knows: before the file, at the next request, and at the one after."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PORTAL_", "DATABASE_"))}
    env |= {"PORTAL_STATE_DIR": str(state), "DJANGO_SETTINGS_MODULE": "portal.settings", "DJANGO_DEBUG": "1"}
    env |= {"PORTAL_KUBECONFIG": str(state / "kubeconfig"), **given}
    file = "".join(f"{name}={value}\n" for name, value in LAB.items())
    done = subprocess.run(
        [sys.executable, "-c", WEB, file], cwd=settings.BASE_DIR, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found: list[list[str]] = json.loads(done.stdout)
    return found


def test_addresses_that_the_lab_writes_later_are_known_at_the_next_request(tmp_path: Path) -> None:
    mine = "http://127.0.0.1:9999"  # what the environment says stays
    before, after, then = answers(tmp_path, PORTAL_LAB="1", PORTAL_GRAFANA_URL=mine)
    assert before == [mine, "https://api.github.com", ""]
    assert after == then == [mine, LAB["PORTAL_GITHUB_URL"], LAB["PORTAL_LAB_INBOX_URL"]]


def test_beside_the_kubeconfig_of_a_real_cluster_nothing_is_waited_for(tmp_path: Path) -> None:
    before, after, _ = answers(tmp_path)
    assert before == after == ["", "https://api.github.com", ""]
