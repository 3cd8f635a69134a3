"""CPU time, queries and size of the overview page with 200 items and 30 components (design §9).

Goal: ≤ 10 ms CPU a page, ≤ 5 ms for a 304, ≤ 12 queries. One thread, whole Django stack with middleware, best of many.
Run: ``python -m benchmarks.pages``
"""

from __future__ import annotations

import gzip
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks import world


def cpu_ms(function: Callable[[], Any], times: int = 40) -> tuple[float, float]:
    """Best and median CPU milliseconds of one call."""
    spent = []
    for _ in range(times):
        began = time.process_time()
        function()
        spent.append((time.process_time() - began) * 1000)
    spent.sort()
    return spent[0], spent[len(spent) // 2]


def main() -> None:
    """Fill a board, sign in, measure."""
    items, components = (int(a) for a in sys.argv[1:3]) if len(sys.argv) > 2 else (200, 30)
    world.set_up_django(DJANGO_ALLOWED_HOSTS="testserver")
    from django.contrib.auth.models import Group, User
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    world.fill(items, components)
    user = User.objects.create_user("viewer")
    user.groups.add(Group.objects.get(name="viewer"))
    client = Client()
    client.force_login(user)
    for path in ("/", "/phases/1-one/", "/items/1/", "/status/", "/healthz"):
        first = client.get(path)
        assert first.status_code == 200, (path, first.status_code)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            client.get(path)
            count = len(queries)
        best, median = cpu_ms(lambda path=path: client.get(path))  # type: ignore[misc]
        size = len(gzip.compress(first.content))
        line = f"{path:<16} {best:6.1f} ms best {median:6.1f} ms median {count:3} queries {size / 1000:6.1f} kB gzip"
        tag = first.headers.get("ETag")
        if tag:
            best, median = cpu_ms(lambda path=path, tag=tag: client.get(path, headers={"If-None-Match": tag}))  # type: ignore[misc]
            code = client.get(path, headers={"If-None-Match": tag}).status_code
            line += f"   {code}: {best:.1f} / {median:.1f} ms"
        print(line)


if __name__ == "__main__":
    main()
