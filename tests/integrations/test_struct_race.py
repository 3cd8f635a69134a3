"""Threads that meet the structs of a cluster at the same moment: msgspec itself would crash the process."""

from __future__ import annotations

import subprocess
import sys

from django.conf import settings

MEET_ALL_AT_ONCE = """
import sys, threading
sys.setswitchinterval(1e-6)
from integrations.kubernetes import decode, objects

body = b'{"metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":"a","uid":"u","labels":{"a":"b"},'
body += b'"ownerReferences":[{"kind":"X","name":"n","uid":"u","controller":true}]}}]}'
keys = [*objects.TYPES, *objects.TYPES]
gate, read = threading.Barrier(len(keys)), []

def meet(key):
    gate.wait()
    read.append(decode.page(body, key).items[0].metadata.owner_references[0].name)

threads = [threading.Thread(target=meet, args=(key,)) for key in keys]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit(read != ["n"] * len(keys))
"""
#: without the lock about every second process dies
ROUNDS = 8


def test_threads_that_first_list_different_kinds_at_once_all_get_their_objects() -> None:
    for _ in range(ROUNDS):
        done = subprocess.run([sys.executable, "-c", MEET_ALL_AT_ONCE], cwd=settings.BASE_DIR, capture_output=True)
        assert done.returncode == 0, done.stderr.decode()[-400:]
