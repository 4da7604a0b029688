"""Who may reach a gateway's kernels: its NetworkPolicy.

A kernel's messages are signed but not encrypted, and whoever connects to its iopub port reads all
that it prints: ZeroMQ's subscribers need no key. Source: the ADR on identity.
"""

from elastic_jupyter.api import names
from elastic_jupyter.api.gateway import JupyterGateway
from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.operator.objects import common
from elastic_jupyter.operator.objects.gateway import selector


def make_network_policy(gateway: JupyterGateway) -> Object:
    """Return the policy by which the gateway's pods, and nobody else, reach its kernels' ports.

    Policies add up: a team whose kernels serve others too adds one of its own.
    """
    name = gateway.metadata.name or ""
    return {
        "metadata": common.metadata(
            names.network_policy_name(name), gateway, common.labels(names.APP_GATEWAY, name)
        ),
        "spec": {
            "podSelector": {
                "matchLabels": {
                    names.LABEL_NAME: names.APP_KERNEL,
                    names.LABEL_GATEWAY: common.label_value(name),
                }
            },
            "policyTypes": ["Ingress"],
            "ingress": [
                {
                    "from": [{"podSelector": {"matchLabels": selector(gateway)}}],
                    "ports": [
                        {"protocol": "TCP", "port": port} for port in sorted(names.PORTS.values())
                    ],
                }
            ],
        },
    }
