"""JupyterKernels that are refused although their schema lets them through."""

from typing import Any

import pytest

from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.operator.kernel_refusal import refusal
from elastic_jupyter.policy.lifecycle import Sight


def a_kernel(name: str = "k", *, born: str = "2026-01-01T00:00:02Z", **spec: Any) -> Object:
    return {
        "metadata": {"name": name, "namespace": "team", "uid": name, "creationTimestamp": born},
        "spec": {"template": {}, "gatewayRef": {"name": "gw"}, "kernelID": "1", **spec},
    }


OLDER = a_kernel("a", born="2026-01-01T00:00:01Z")
YOUNGER = a_kernel("a", born="2026-01-01T00:00:03Z")


@pytest.mark.parametrize(
    ("kernel", "siblings", "want"),
    [
        pytest.param(a_kernel(), [a_kernel()], None, id="a kernel of its own"),
        pytest.param(a_kernel(), [], None, id="a kernel that is not in the index yet"),
        pytest.param(a_kernel(), [YOUNGER, a_kernel()], None, id="the older of two keeps the id"),
        pytest.param(
            a_kernel(),
            [YOUNGER, OLDER, a_kernel()],
            ("KernelIDTaken", "spec.kernelID: JupyterKernel a has this id already"),
            id="the younger of two does not get it",
        ),
        pytest.param(
            a_kernel("z"),
            [a_kernel("b"), a_kernel("z")],
            ("KernelIDTaken", "JupyterKernel b"),
            id="of two of the same second the name decides",
        ),
        pytest.param(a_kernel(kernelID=None), [OLDER], None, id="a kernel without an id"),
        pytest.param(a_kernel(kernelID="2"), [OLDER], None, id="a kernel with another id"),
        pytest.param(
            a_kernel(gatewayRef={"name": "gw", "namespace": "other"}),
            [],
            (
                "GatewayElsewhere",
                "spec.gatewayRef.namespace: the gateway must be in namespace team",
            ),
            id="a gateway of another namespace",
        ),
        pytest.param(
            a_kernel(gatewayRef={"name": "gw", "namespace": "team"}),
            [],
            None,
            id="the own namespace, named",
        ),
        pytest.param(a_kernel(gatewayRef=None), [OLDER], None, id="a kernel that nobody serves"),
    ],
)
def test_what_is_refused(
    kernel: Object, siblings: list[Object], want: tuple[str, str] | None
) -> None:
    found = refusal(JupyterKernel.model_validate(kernel), siblings)
    if want is None:
        assert found is None
        return
    assert found is not None
    assert (found.sight, found.reason) == (Sight.REFUSED, want[0])
    assert want[1] in found.message
