"""`python -m tests.contract URL TOKEN`: ask a server on loopback all questions and print its answers as JSON."""

from __future__ import annotations

import json
import sys
from urllib.parse import urlsplit

import httpx

from tests.contract import questions_objects, questions_world, questions_writes
from tests.contract.asker import QUESTIONS, Asker

MODULES = (questions_objects, questions_writes, questions_world)


def main(url: str, token: str) -> None:
    if urlsplit(url).hostname not in ("127.0.0.1", "localhost", "::1"):
        sys.exit("only for servers on loopback: the questions create and delete objects")
    headers = {"Authorization": f"Bearer {token}"}
    # A server under test signs its own certificate, and it is on this machine.
    with httpx.Client(base_url=url, headers=headers, verify=False, timeout=15, trust_env=False) as client:
        answers = Asker(client).ask_all()
    json.dump(answers, sys.stdout, indent=1)
    sys.stdout.write(f"\n{len(QUESTIONS)} questions\n" if sys.stdout.isatty() else "\n")


if __name__ == "__main__":
    main(*sys.argv[1:3])
