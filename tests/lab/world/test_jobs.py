"""Jobs and CronJobs: schedules and verdicts as pure functions, then the real kubectl against a running lab."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lab.controllers import cron, cronjob, job
from tests.lab.world.running import RunningLab

pytestmark = pytest.mark.lab
NOW = datetime(2025, 11, 23, 15, 52, 30, tzinfo=UTC)  # a Sunday
BATCH = "/apis/batch/v1/namespaces/shop"


# -- schedules


@pytest.mark.parametrize(
    ("text", "last"),
    [
        ("* * * * *", "2025-11-23T15:52"),
        ("*/5 * * * *", "2025-11-23T15:50"),
        ("0 * * * *", "2025-11-23T15:00"),
        ("@hourly", "2025-11-23T15:00"),
        ("53 15 * * *", "2025-11-22T15:53"),
        ("0 3 * * mon-fri", "2025-11-21T03:00"),
        ("0 3 * * 7", "2025-11-23T03:00"),
        ("15,45 8-10/2 1 jan,nov *", "2025-11-01T10:45"),
        ("0 0 13 * fri", "2025-11-21T00:00"),  # either the 13th or a Friday
        ("0 0 30 2 *", ""),
    ],
)
def test_the_last_minute_of_a_schedule(text: str, last: str) -> None:
    found = cron.parse(text).last(NOW - timedelta(days=400), NOW)
    assert (found.isoformat()[:16] if found else "") == last


def test_a_schedule_is_not_served_twice() -> None:
    schedule = cron.parse("*/5 * * * *")
    assert schedule.last(NOW.replace(minute=50, second=0), NOW) is None


@pytest.mark.parametrize("text", ["", "* * * *", "61 * * * *", "* * * * funday", "*/0 * * * *", "5-1 * * * *"])
def test_what_is_no_schedule_is_refused(text: str) -> None:
    with pytest.raises(cron.ScheduleError):
        cron.parse(text)


def _cron_job(**spec: Any) -> Any:
    return {
        "metadata": {"name": "tick", "namespace": "shop", "uid": "u", "creationTimestamp": "2025-11-23T15:41:10Z"},
        "spec": {"schedule": "*/10 * * * *", "jobTemplate": {"spec": {"template": {}}}, **spec},
    }


def test_a_missed_minute_is_due_once_and_within_its_deadline_only() -> None:
    assert cronjob.due(_cron_job(), NOW) == datetime(2025, 11, 23, 15, 50, tzinfo=UTC)
    served = {**_cron_job(), "status": {"lastScheduleTime": "2025-11-23T15:50:00Z"}}
    assert cronjob.due(served, NOW) is None
    assert cronjob.due(_cron_job(startingDeadlineSeconds=60), NOW) is None


def test_a_schedule_follows_its_time_zone() -> None:
    at_five = _cron_job(schedule="45 17 * * *", timeZone="Europe/Kyiv")  # 15:45 in UTC that day
    assert cronjob.due(at_five, NOW) == datetime(2025, 11, 23, 15, 45, tzinfo=UTC)


# -- verdicts


def _job(status: Any = None, restart: str = "Never", **spec: Any) -> Any:
    template = {"spec": {"restartPolicy": restart}}
    return {"spec": {"completions": 1, "parallelism": 1, "template": template, **spec}, "status": status or {}}


def _pod(phase: str, uid: str, *, finalizer: bool = True, restarts: int = 0) -> Any:
    meta: Any = {"name": uid, "uid": uid, "finalizers": [job.TRACKING] if finalizer else []}
    return {"metadata": meta, "status": {"phase": phase, "containerStatuses": [{"restartCount": restarts}]}}


def test_a_pod_is_counted_once() -> None:
    before = _job({"succeeded": 1})
    pods = [_pod("Succeeded", "a", finalizer=False), _pod("Succeeded", "b"), _pod("Failed", "c"), _pod("Running", "d")]
    found = job.counted(before, pods, known=set())
    assert (found.succeeded, found.failed, len(found.active), len(found.fresh)) == (2, 1, 1, 2)
    again = job.counted(_job({"succeeded": 2, "failed": 1}), pods, known={"b", "c"})
    assert (again.succeeded, again.failed) == (2, 1)


def test_verdicts() -> None:
    def reason(subject: Any, count: job.Count, age: float = 0.0) -> str:
        found = job.verdict(subject, count, age)
        return "" if found is None else str(found.get("reason") or found["type"])

    assert reason(_job(), job.Count(succeeded=1)) == "Complete"
    assert reason(_job(completions=3), job.Count(succeeded=2)) == ""
    assert reason(_job(backoffLimit=2), job.Count(failed=2)) == ""
    assert reason(_job(backoffLimit=2), job.Count(failed=3)) == "BackoffLimitExceeded"
    looping = job.Count(active=[_pod("Running", "a", restarts=3)])
    assert reason(_job(restart="OnFailure", backoffLimit=2), looping) == "BackoffLimitExceeded"
    assert reason(_job(activeDeadlineSeconds=5), looping, age=6.0) == "DeadlineExceeded"
    assert reason(_job(completions=None), job.Count(succeeded=1, active=[_pod("Running", "a")])) == ""


def test_how_many_pods_a_job_starts() -> None:
    assert job.missing(_job(completions=5, parallelism=2), job.Count()) == 2
    assert job.missing(_job(completions=5, parallelism=2), job.Count(succeeded=4)) == 1
    assert job.missing(_job(suspend=True), job.Count(active=[_pod("Running", "a")])) == -1
    assert [job.delay(failures) for failures in (0, 1, 2, 9)] == [0, 10, 20, 360]


# -- the real kubectl


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    """A well lab with an empty namespace shop."""
    lab = RunningLab("healthy", tmp_path_factory.mktemp("jobs"))
    lab.kubectl("create", "namespace", "shop")
    yield lab
    lab.stop()


def _names(lab: RunningLab, path: str) -> set[str]:
    return {each["metadata"]["name"] for each in lab.items(path)}


def test_a_job_completes_with_its_log_and_its_counts(shop: RunningLab) -> None:
    shop.kubectl("-n", "shop", "create", "job", "ok", "--image=busybox", "--", "sh", "-c", "echo hello; sleep 1")
    shop.kubectl("-n", "shop", "wait", "--for=condition=complete", "job/ok", "--timeout=60s")
    assert shop.kubectl("-n", "shop", "logs", "job/ok") == "hello\n"
    status = shop.get(f"{BATCH}/jobs/ok")["status"]
    assert (status["succeeded"], status.get("active"), status["completionTime"] >= status["startTime"]) == (
        1,
        None,
        True,
    )
    pods = shop.items("/api/v1/namespaces/shop/pods", labelSelector="job-name=ok")
    shop.until(
        lambda: (
            "finalizers" not in shop.items("/api/v1/namespaces/shop/pods", labelSelector="job-name=ok")[0]["metadata"]
        ),
        "a counted pod carries no finalizer",
    )
    assert [pod["status"]["phase"] for pod in pods] == ["Succeeded"]


def test_a_job_fails_at_its_back_off_limit(shop: RunningLab) -> None:
    template = {
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox", "command": ["false"]}]}
    }
    body = {"metadata": {"name": "bad"}, "spec": {"backoffLimit": 1, "template": template}}
    shop.http.post(f"{BATCH}/jobs", json=body).raise_for_status()
    shop.kubectl("-n", "shop", "wait", "--for=condition=failed", "job/bad", "--timeout=60s")
    status = shop.get(f"{BATCH}/jobs/bad")["status"]
    assert status["failed"] == 2 and "completionTime" not in status
    assert status["conditions"][-1]["reason"] == "BackoffLimitExceeded"
    assert "Job has reached the specified backoff limit" in shop.kubectl("-n", "shop", "get", "events")


def test_a_finished_job_is_deleted_after_its_time_to_live_with_its_pods(shop: RunningLab) -> None:
    template = {
        "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox", "command": ["true"]}]}
    }
    spec = {"ttlSecondsAfterFinished": 20, "completions": 3, "parallelism": 2, "template": template}
    shop.http.post(f"{BATCH}/jobs", json={"metadata": {"name": "short"}, "spec": spec}).raise_for_status()
    shop.until(lambda: shop.get(f"{BATCH}/jobs/short")["status"].get("succeeded") == 3, "three have succeeded")
    shop.until(lambda: "short" not in _names(shop, f"{BATCH}/jobs"), "the job is gone")
    left = shop.items("/api/v1/namespaces/shop/pods", labelSelector="job-name=short")
    assert left == []


def test_a_cron_job_serves_its_last_minute_and_a_person_may_run_it_now(shop: RunningLab) -> None:
    shop.kubectl("-n", "shop", "create", "cronjob", "tick", "--image=busybox", "--schedule=0 0 1 1 *", "--", "true")
    shop.kubectl("-n", "shop", "create", "job", "--from=cronjob/tick", "by-hand")
    shop.kubectl("-n", "shop", "wait", "--for=condition=complete", "job/by-hand", "--timeout=60s")
    made = shop.get(f"{BATCH}/jobs/by-hand")
    assert made["metadata"]["annotations"]["cronjob.kubernetes.io/instantiate"] == "manual"
    assert made["metadata"]["ownerReferences"][0]["kind"] == "CronJob"
    assert "lastScheduleTime" not in shop.get(f"{BATCH}/cronjobs/tick")["status"]  # no scheduled minute yet
    # two hours old: a scheduled minute has been missed, and is served at once
    old = shop.get(f"{BATCH}/cronjobs/tick")
    began = (datetime.now(UTC) - timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    seeded = {**old, "metadata": {"name": "late", "namespace": "shop", "creationTimestamp": began}, "status": {}}
    seeded["spec"] = {**old["spec"], "schedule": "0 * * * *"}
    shop.http.post("/lab/seed", json={"objects": [seeded]}).raise_for_status()
    status = shop.until(
        lambda: (
            shop.get(f"{BATCH}/cronjobs/late")["status"].get("lastSuccessfulTime")
            and shop.get(f"{BATCH}/cronjobs/late")["status"]
        ),
        "a job has run",
    )
    last = datetime.fromisoformat(status["lastScheduleTime"])
    assert last.minute == 0 and timedelta(0) <= datetime.now(UTC) - last < timedelta(hours=1, minutes=1)
    name = f"late-{int(last.timestamp()) // 60}"
    assert name in _names(shop, f"{BATCH}/jobs")
    shop.kubectl("-n", "shop", "delete", "cronjob", "late", "tick")
    shop.until(lambda: not {name, "by-hand"} & _names(shop, f"{BATCH}/jobs"), "its jobs go with it")


@pytest.mark.parametrize("policy", ["Background", "Foreground", "Orphan"])
def test_propagation_policies_of_a_deployment(shop: RunningLab, policy: str) -> None:
    name = f"web-{policy.lower()}"
    shop.kubectl("-n", "shop", "create", "deployment", name, "--image=nginx", "--replicas=2")
    shop.kubectl("-n", "shop", "rollout", "status", f"deployment/{name}", "--timeout=60s")
    since = shop.get("/lab/ledger", since="0")["last"]
    shop.http.request(
        "DELETE", f"/apis/apps/v1/namespaces/shop/deployments/{name}", json={"propagationPolicy": policy}
    ).raise_for_status()
    shop.until(lambda: name not in _names(shop, "/apis/apps/v1/namespaces/shop/deployments"), "the Deployment is gone")

    def below() -> tuple[int, int]:
        sets = shop.items("/apis/apps/v1/namespaces/shop/replicasets", labelSelector=f"app={name}")
        return len(sets), len(shop.items("/api/v1/namespaces/shop/pods", labelSelector=f"app={name}"))

    if policy == "Orphan":
        assert below() == (1, 2)
        (left,) = shop.items("/apis/apps/v1/namespaces/shop/replicasets", labelSelector=f"app={name}")
        assert "ownerReferences" not in left["metadata"]
        return
    shop.until(lambda: below() == (0, 0), "everything below is gone")
    gone = [
        (each["resource"], each["name"].startswith(name))
        for each in shop.get("/lab/ledger", since=str(since))["entries"]
        if each["gone"] and each["name"].startswith(name) and each["resource"] != "events"
    ]
    kinds = [kind for kind, _mine in gone]
    if policy == "Foreground":  # the owner is the last one
        assert kinds[-1] == "deployments.apps"
        assert kinds.index("replicasets.apps") > max(index for index, kind in enumerate(kinds) if kind == "pods")
    else:
        assert kinds[0] == "deployments.apps"


def test_a_job_leaves_its_pods_behind_unless_it_is_told_otherwise(shop: RunningLab) -> None:
    shop.kubectl("-n", "shop", "create", "job", "left", "--image=busybox", "--", "true")
    shop.kubectl("-n", "shop", "wait", "--for=condition=complete", "job/left", "--timeout=60s")
    answer = shop.http.delete(f"{BATCH}/jobs/left")
    assert "child pods are preserved by default when jobs are deleted" in answer.headers["Warning"]
    shop.until(lambda: "left" not in _names(shop, f"{BATCH}/jobs"), "the job is gone")
    (pod,) = shop.items("/api/v1/namespaces/shop/pods", labelSelector="job-name=left")
    assert "ownerReferences" not in pod["metadata"] and "deletionTimestamp" not in pod["metadata"]


def test_a_copy_of_a_job_must_come_without_its_identity(shop: RunningLab) -> None:
    shop.kubectl("-n", "shop", "create", "job", "first", "--image=busybox", "--", "true")
    spec = shop.get(f"{BATCH}/jobs/first")["spec"]
    answer = shop.http.post(f"{BATCH}/jobs", json={"metadata": {"name": "second"}, "spec": spec})
    assert answer.status_code == 422
    assert "`selector` not auto-generated" in answer.json()["message"]
    spec["template"]["metadata"].pop("labels")
    del spec["selector"]
    shop.http.post(f"{BATCH}/jobs", json={"metadata": {"name": "second"}, "spec": spec}).raise_for_status()


def test_an_evicted_pod_of_a_job_counts_as_failed_and_is_replaced(shop: RunningLab) -> None:
    shop.kubectl("-n", "shop", "create", "job", "long", "--image=busybox", "--", "sleep", "600")

    def pods() -> list[Any]:
        found = shop.items("/api/v1/namespaces/shop/pods", labelSelector="job-name=long")
        return [
            pod for pod in found if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
        ]

    first = shop.until(pods, "it runs")[0]["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": first}}
    shop.http.post(f"/api/v1/namespaces/shop/pods/{first}/eviction", json=eviction).raise_for_status()
    shop.until(lambda: [pod for pod in pods() if pod["metadata"]["name"] != first], "another one runs")
    shop.until(lambda: first not in _names(shop, "/api/v1/namespaces/shop/pods"), "the evicted one is gone")
    assert shop.get(f"{BATCH}/jobs/long")["status"]["failed"] == 1
