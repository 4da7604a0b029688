"""Images of the original, and what is taken literally."""

import pytest

from elastic_jupyter.policy import images
from elastic_jupyter.policy.images import Choice, Images

OURS = Images(gateway="our/gateway:1", notebook="our/notebook:1", kernel="our/kernel:1")


@pytest.mark.parametrize(
    "asked",
    [
        "ccr.ccs.tencentyun.com/kubeflow-oteam/enterprise-gateway:2.5.0",
        "ghcr.io/skai-x/enterprise-gateway:2.6.0",
        "ghcr.io/skai-x/enterprise-gateway:latest",
        "ghcr.io/skai-x/enterprise-gateway-with-kernel-spec:latest",
        "ghcr.io/skai-x/enterprise-gateway-with-kernel-specs:latest",
        "elyra/enterprise-gateway:2.6.0",
        "enterprise-gateway",
        "mirror.example.com:5000/skai-x/enterprise-gateway@sha256:0123",
    ],
)
def test_a_gateway_image_of_the_original_is_replaced_by_ours(asked: str) -> None:
    assert images.gateway(asked, OURS) == Choice(OURS.gateway, replaced=asked)


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param("team/my-enterprise-gateway:1", id="a name that ends like it"),
        pytest.param("team/enterprise-gateways:1", id="a name that starts like it"),
        pytest.param("team/enterprise_gateway:1", id="another spelling"),
        pytest.param("enterprise-gateway/proxy:1", id="a folder of that name"),
        pytest.param("team/proxy:enterprise-gateway", id="a tag of that name"),
        pytest.param("enterprise-gateway:5000/team/proxy", id="a registry of that name"),
        pytest.param("ghcr.io/skai-x/jupyter-kernel-py:2.6.0", id="an image for kernels"),
        pytest.param("our/gateway:2", id="another version of ours"),
    ],
)
def test_any_other_gateway_image_is_taken_literally(asked: str) -> None:
    assert images.gateway(asked, OURS) == Choice(asked)


@pytest.mark.parametrize(
    "asked",
    [
        "ccr.ccs.tencentyun.com/kubeflow-oteam/jupyter-kernel-py:2.6.0",
        "ghcr.io/skai-x/jupyter-kernel-py:2.6.0",
        "elyra/kernel-py:2.6.0",
        "elyra/kernel-tf-py:VERSION",
        "elyra/kernel-tf-gpu-py:2.6.0",
        "jupyter-kernel-py",
        "mirror.example.com:5000/skai-x/jupyter-kernel-py:2.6.0@sha256:0123",
    ],
)
def test_a_kernel_image_of_the_original_is_replaced_by_ours(asked: str) -> None:
    assert images.kernel(asked, OURS) == Choice(OURS.kernel, replaced=asked)


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param("ghcr.io/skai-x/jupyter-kernel-r:2.6.0", id="another language"),
        pytest.param("elyra/kernel-scala:2.6.0", id="yet another language"),
        pytest.param("team/kernel-pytorch:1", id="a name that starts like it"),
        pytest.param("team/kernel-py-torch:1", id="a short name that goes on"),
        pytest.param("team/jupyter-kernel-python:1", id="a long name that goes on"),
        pytest.param("team/my-kernel-py:1", id="a name that ends like it"),
        pytest.param("kernel-py/torch:1", id="a folder of that name"),
        pytest.param("team/torch:kernel-py", id="a tag of that name"),
        pytest.param("kernel-py:5000/team/torch", id="a registry of that name"),
        pytest.param("ghcr.io/skai-x/enterprise-gateway:2.6.0", id="an image for gateways"),
        pytest.param("our/kernel:2", id="another version of ours"),
    ],
)
def test_any_other_kernel_image_is_taken_literally(asked: str) -> None:
    assert images.kernel(asked, OURS) == Choice(asked)


def test_a_kernel_that_calls_an_enterprise_gateway_back_runs_the_image_that_can() -> None:
    env = ["no variable", {"name": "A"}, {"name": "EG_RESPONSE_ADDRESS", "value": "10.0.0.1:8877"}]
    asked = "elyra/kernel-py:3.2.3"
    assert images.kernel(asked, OURS, env=env) == Choice(asked)
    assert images.kernel(asked, OURS, env=env[:2]) == Choice(OURS.kernel, replaced=asked)
    assert images.kernel(None, OURS, env=env) == Choice(OURS.kernel)


@pytest.mark.parametrize("asked", [None, ""])
def test_where_no_image_is_asked_for_ours_runs_and_replaces_nothing(asked: str | None) -> None:
    assert images.gateway(asked, OURS) == Choice(OURS.gateway)
    assert images.kernel(asked, OURS) == Choice(OURS.kernel)


def test_ours_is_not_replaced_by_itself_whatever_its_name() -> None:
    ours = Images(gateway="me/enterprise-gateway:9", notebook="n", kernel="me/kernel-py:9")
    assert images.gateway(ours.gateway, ours) == Choice(ours.gateway)
    assert images.kernel(ours.kernel, ours) == Choice(ours.kernel)


@pytest.mark.parametrize(
    ("image", "want"),
    [
        pytest.param("kernel", "kernel", id="a bare name"),
        pytest.param("kernel:1", "kernel", id="a tag"),
        pytest.param("kernel@sha256:0123", "kernel", id="a digest"),
        pytest.param("registry:5000/a/b:1@sha256:0123", "b", id="all at once"),
        pytest.param("registry:5000/b", "b", id="a port is no tag"),
    ],
)
def test_the_base_name_is_the_last_part_without_tag_and_digest(image: str, want: str) -> None:
    assert images.base_name(image) == want
