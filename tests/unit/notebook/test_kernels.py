import inspect

import pytest
from jupyter_server.gateway import managers
from jupyter_server.gateway.managers import GatewayKernelManager
from tornado.web import HTTPError

from elastic_jupyter.notebook.kernels import ElasticGatewayKernelManager
from tests.unit.notebook.servers import model


@pytest.fixture
def gateway_says(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The status code with which the gateway answers every call."""
    says = {"code": 503}

    async def gateway_request(endpoint: str, **kwargs: object) -> None:
        raise HTTPError(says["code"])

    monkeypatch.setattr(managers, "gateway_request", gateway_request)
    return says


@pytest.fixture
def kernel() -> ElasticGatewayKernelManager:
    """A kernel that was there a moment ago."""
    kernel = ElasticGatewayKernelManager()  # type: ignore[no-untyped-call]
    kernel.kernel_id = "k"
    kernel.kernel_url = "http://gateway/api/kernels/k"
    kernel.kernel = model("k")
    return kernel


@pytest.mark.parametrize("code", [502, 503, 504, 599])
async def test_a_gateway_that_is_away_does_not_make_a_kernel_gone(
    kernel: ElasticGatewayKernelManager, gateway_says: dict[str, int], code: int
) -> None:
    gateway_says["code"] = code
    assert await kernel.refresh_model() == model("k")
    assert kernel.has_kernel


async def test_a_404_means_gone(
    kernel: ElasticGatewayKernelManager, gateway_says: dict[str, int]
) -> None:
    gateway_says["code"] = 404
    assert await kernel.refresh_model() is None
    assert not kernel.has_kernel


async def test_a_kernel_never_seen_is_not_made_up(
    kernel: ElasticGatewayKernelManager, gateway_says: dict[str, int]
) -> None:
    kernel.kernel = None
    with pytest.raises(HTTPError, match="503"):
        await kernel.refresh_model()


def test_upstream_still_has_the_method_that_is_overridden() -> None:
    theirs = inspect.signature(GatewayKernelManager.refresh_model)
    ours = inspect.signature(ElasticGatewayKernelManager.refresh_model)
    assert list(ours.parameters) == list(theirs.parameters)
    assert "gateway_request(self.kernel_url" in inspect.getsource(
        GatewayKernelManager.refresh_model
    )
