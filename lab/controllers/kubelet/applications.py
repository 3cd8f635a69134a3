"""What the known programs do: which rules apply to which image."""

from __future__ import annotations

from lab.controllers.client import Object
from lab.controllers.kubelet import grafana, works
from lab.controllers.kubelet.behaviour import Behaviour, Rule, split_image
from lab.controllers.rights import View


def prometheus_rule(_pod: Object, container: Object, _view: View) -> Behaviour | None:
    repository, tag = split_image(container["image"])
    if not repository.endswith("/prometheus/prometheus"):
        return None
    return Behaviour(
        listens_after=3.0,
        log=(
            (0.1, f'ts={{at}} caller=main.go:539 level=info msg="Starting Prometheus Server" version="{tag}"'),
            (0.2, "ts={at} caller=web.go:566 level=info component=web msg=\"Start listening for connections\" "
                  "address=0.0.0.0:9090"),
            (1.0, 'ts={at} caller=head.go:698 level=info component=tsdb msg="WAL replay completed"'),
            (2.8, 'ts={at} caller=main.go:1009 level=info msg="Server is ready to receive web requests."'),
        ),
    )  # fmt: skip


def operator_rule(_pod: Object, container: Object, _view: View) -> Behaviour | None:
    if "prometheus-operator/prometheus-operator" not in container["image"]:
        return None
    return Behaviour(
        listens_after=2.0,
        log=(
            (0.1, "level=info ts={at} caller=main.go:186 msg=\"Starting Prometheus Operator\" version=0.70.0"),
            (1.9, "level=info ts={at} caller=operator.go:331 component=prometheusoperator "
                  "msg=\"successfully synced all caches\""),
        ),
    )  # fmt: skip


def argocd_rule(_pod: Object, container: Object, _view: View) -> Behaviour | None:
    if "argoproj/argocd" not in container["image"]:
        return None
    name = container["name"]
    return Behaviour(
        listens_after=3.0,
        log=((0.2, f'time="{{at}}" level=info msg="{name} is starting" built="2025-10-17" version=v2.14.20'),),
    )


def default_log_rule(_pod: Object, container: Object, _view: View) -> Behaviour | None:
    if "alertmanager" in container["image"]:
        return Behaviour(
            listens_after=2.0,
            log=(
                (0.1, 'ts={at} caller=main.go:245 level=info msg="Starting Alertmanager" version="0.26.0"'),
                (1.5, "ts={at} caller=coordinator.go:126 level=info component=configuration "
                      "msg=\"Completed loading of configuration file\" file=/etc/alertmanager/config_out/"
                      "alertmanager.env.yaml"),
            ),
        )  # fmt: skip
    if "node-exporter" in container["image"]:
        return Behaviour(
            log=((0.1, 'ts={at} caller=tls_config.go:274 level=info msg="Listening on" address=[::]:9100'),)
        )
    return None


APPLICATION_RULES: tuple[Rule, ...] = (
    grafana.sidecar_rule,
    grafana.grafana_rule,
    prometheus_rule,
    operator_rule,
    argocd_rule,
    works.certgen_rule,
    default_log_rule,
)
