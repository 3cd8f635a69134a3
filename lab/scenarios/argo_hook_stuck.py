"""A3: a sync that waits for a hook which is no more.

Git asks for thirty days of metrics. The sync began with the chart's admission-create Job; it ended well, and its time
to live (`ttlSecondsAfterFinished`) was over before Argo CD looked again. So the operation waits for a Job that nobody
will see.
"""

from lab.controllers.argocd import hooks, operation
from lab.controllers.client import Object
from lab.git import Repository
from lab.scenarios import monitoring
from lab.scenarios.builder import Builder
from lab.scenarios.world import Scenario

_SINCE = 17.0  # minutes
JOB = f"{monitoring.APP}-admission-create"


def _values(text: str) -> str:
    return text.replace("            retention: 15d\n", "            retention: 30d\n")


def _deployed(text: str) -> str:
    return text.replace("            retention: 30d\n", "            retention: 15d\n")


def waiting(world: Builder, repository: Repository, minutes: float, who: Object) -> None:
    """Leave the monitoring Application in a sync, begun by `who`, that has come as far as its first Job."""
    app = monitoring.application(world, monitoring.APP)
    found = monitoring.comparison(world, repository)
    rows: list[Object] = []
    for hook in hooks.of_phase(found.hooks, "PreSync"):
        done = hook["kind"] != "Job"
        kind = str(hook["kind"]).lower()
        state = hooks.SUCCEEDED if done else hooks.RUNNING
        rows.append(
            operation.row_of(hook, "Synced", f"{kind}/{hook['metadata']['name']} created", state, "PreSync", "PreSync")
        )
    sync: Object = {"revision": found.revision, "prune": True, "syncOptions": app["spec"]["syncPolicy"]["syncOptions"]}
    asked: Object = {"initiatedBy": who, "retry": app["spec"]["syncPolicy"]["retry"], "sync": sync}
    app["operation"] = asked
    app["status"]["operationState"] = {
        "phase": "Running",
        "message": f"waiting for completion of hook batch/Job/{JOB}",
        "operation": asked,
        "startedAt": world.time(minutes),
        "syncResult": {"revision": found.revision, "source": app["spec"]["source"], "resources": rows},
    }
    app["status"]["conditions"] = []


def _finish(world: Builder, repository: Repository) -> None:
    waiting(world, repository, _SINCE, {"automated": True})


SCENARIO = Scenario(values=_values, deployed=_deployed, finish=_finish)
