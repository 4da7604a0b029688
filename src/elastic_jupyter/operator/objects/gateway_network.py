"""Who may reach a gateway's kernels: its NetworkPolicy.

A kernel's messages are signed but not encrypted, and whoever connects to its iopub port reads all
that it prints: ZeroMQ's subscribers need no key. Why this way: ADR 0009.
"""

from elastic_jupyter.api import names
from elastic_jupyter.api.gateway import JupyterGateway
from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.operator.objects import common
from elastic_jupyter.operator.objects.gateway import selector

#: The kernel's ports are neighbours (a test says so), so that a policy can name those around them.
_FIRST, _LAST = min(names.PORTS.values()), max(names.PORTS.values())


def make_network_policy(gateway: JupyterGateway) -> Object:
    """Return the policy by which nobody but the gateway's pods reaches its kernels' Jupyter ports.

    All other ports stay open: what a user's code listens on (workers of a distributed training, a
    dashboard) is not ours to close.
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
                    "ports": [{"protocol": "TCP", "port": _FIRST, "endPort": _LAST}],
                },
                {
                    "ports": [
                        {"protocol": "TCP", "port": 1, "endPort": _FIRST - 1},
                        {"protocol": "TCP", "port": _LAST + 1, "endPort": 65535},
                        {"protocol": "UDP"},
                        {"protocol": "SCTP"},
                    ]
                },
            ],
        },
    }
