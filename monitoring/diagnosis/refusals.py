"""G1: the line with which a sidecar says that Grafana does not listen. Only ever a consequence, never a cause.

Measured with k8s-sidecar 1.30.3, 2.0.3 and 2.10.1: while the reload URL refuses connections, none of them exits.
"""

from __future__ import annotations

import re

from monitoring.diagnosis.scene import Scene, is_sidecar_name

REFUSED = re.compile(
    r"(?:port=3000|:3000).{0,200}(?:refused|Errno 111)|(?:Connection refused|Errno 111).{0,200}3000", re.IGNORECASE
)


def refused_line(scene: Scene) -> str:
    """The last such line of a sidecar that is not ready, or nothing."""
    for bad in scene.bad:
        if is_sidecar_name(bad.name, bad.image) and not bad.recovered:
            line = bad.log_says(REFUSED)
            if line:
                return line
    return ""
