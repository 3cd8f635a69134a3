"""G8: a first start on the network disk with little CPU takes longer than the liveness probe waits."""

from lab.scenarios.world import Scenario


def _values(text: str) -> str:
    disk = "            enabled: true\n            storageClassName: nfs-client\n            size: 10Gi\n"
    text = text.replace("          persistence:\n            enabled: false\n", f"          persistence:\n{disk}")
    return text.replace(
        "              cpu: 500m\n              memory: 1Gi\n", "              cpu: 100m\n              memory: 1Gi\n"
    )


SCENARIO = Scenario(values=_values)
