"""A3, the other cause: a sync that waits for a hook which cannot run, because its image does not exist.

The values give the admission Jobs a tag that nobody has pushed. Terminating is not enough: the next sync makes the same
Job.
"""

from lab.controllers.argocd import hooks, kinds
from lab.git import Repository
from lab.scenarios import monitoring
from lab.scenarios.argo_hook_stuck import waiting
from lab.scenarios.builder import Builder
from lab.scenarios.world import Scenario

TAG = "v1.44.0-typo"
_MINUTES = 17.0
_PATCH = f"""          admissionWebhooks:
            patch:
              image:
                tag: {TAG}
"""


def _values(text: str) -> str:
    return text.replace("        prometheusOperator:\n", f"        prometheusOperator:\n{_PATCH}")


def _begin(world: Builder, repository: Repository) -> None:
    """The hooks of the phase before the sync are there, the Job with a pod that waits for its image."""
    found = monitoring.comparison(world, repository)
    for hook in hooks.of_phase(found.hooks, "PreSync"):
        world.add(hook, _MINUTES, kinds.MANAGER)


def _finish(world: Builder, repository: Repository) -> None:
    waiting(world, repository, _MINUTES, {"username": "admin"})


SCENARIO = Scenario(values=_values, begin=_begin, finish=_finish)
