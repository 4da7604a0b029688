import pytest

from elastic_jupyter.errors import ConfigError
from elastic_jupyter.operator.config import OperatorConfig
from elastic_jupyter.policy.images import Images

COMPLETE = {
    "ELASTIC_JUPYTER_GATEWAY_IMAGE": "g",
    "ELASTIC_JUPYTER_NOTEBOOK_IMAGE": "n",
    "ELASTIC_JUPYTER_KERNEL_IMAGE": "k",
}
IMAGES = Images(gateway="g", notebook="n", kernel="k")


@pytest.mark.parametrize(
    ("extra", "want"),
    [
        pytest.param({}, OperatorConfig(IMAGES, frozenset(), "INFO", "text"), id="defaults"),
        pytest.param(
            {
                "ELASTIC_JUPYTER_CLUSTER_ROLES": " view, spark ,,",
                "ELASTIC_JUPYTER_LOG_LEVEL": "DEBUG",
                "ELASTIC_JUPYTER_LOG_FORMAT": "json",
            },
            OperatorConfig(IMAGES, frozenset({"view", "spark"}), "DEBUG", "json"),
            id="all is set",
        ),
        pytest.param(
            {"ELASTIC_JUPYTER_LOG_LEVEL": "", "ELASTIC_JUPYTER_LOG_FORMAT": ""},
            OperatorConfig(IMAGES, frozenset(), "INFO", "text"),
            id="empty is not set",
        ),
    ],
)
def test_the_environment_is_read(extra: dict[str, str], want: OperatorConfig) -> None:
    assert OperatorConfig.from_environment(COMPLETE | extra) == want


@pytest.mark.parametrize("name", COMPLETE)
def test_an_image_that_is_not_set_is_named(name: str) -> None:
    for environ in ({**COMPLETE, name: ""}, {k: v for k, v in COMPLETE.items() if k != name}):
        with pytest.raises(ConfigError, match=f"{name} is not set"):
            OperatorConfig.from_environment(environ)


def test_a_log_format_that_does_not_exist_is_named() -> None:
    with pytest.raises(ConfigError, match="ELASTIC_JUPYTER_LOG_FORMAT must be text or json"):
        OperatorConfig.from_environment({**COMPLETE, "ELASTIC_JUPYTER_LOG_FORMAT": "xml"})
