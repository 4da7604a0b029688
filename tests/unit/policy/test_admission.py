"""Which namespaces' notebooks a gateway serves."""

from typing import Any

import pytest

from elastic_jupyter.api.gateway import AllowedNamespaces
from elastic_jupyter.policy.admission import admits


def selector(**parts: Any) -> dict[str, Any]:
    return {"from": "Selector", "selector": parts}


def expression(key: str, operator: str, *values: str) -> dict[str, Any]:
    return selector(matchExpressions=[{"key": key, "operator": operator, "values": [*values]}])


SCHOOL = {"team": "school", "kubernetes.io/metadata.name": "school"}
SAME = {"from": "Same"}


@pytest.mark.parametrize(
    ("allowed", "notebook", "want"),
    [
        pytest.param(None, "school", True, id="nothing is said, as in the original"),
        pytest.param({"from": "All"}, "school", True, id="all"),
        pytest.param(SAME, "school", False, id="the same only, from another"),
        pytest.param(SAME, "lab", True, id="the same only, from the same"),
        pytest.param(selector(matchLabels={"team": "x"}), "lab", True, id="its own is always in"),
        pytest.param(selector(), "school", True, id="an empty selector takes all"),
        pytest.param({"from": "Selector"}, "school", False, id="no selector takes none"),
        pytest.param(selector(matchLabels={"team": "school"}), "school", True, id="a label"),
        pytest.param(selector(matchLabels={"team": "other"}), "school", False, id="another value"),
        pytest.param(
            selector(matchLabels={"team": "school", "gpu": "yes"}),
            "school",
            False,
            id="both labels",
        ),
        pytest.param(expression("team", "In", "a", "school"), "school", True, id="In"),
        pytest.param(expression("gpu", "In", "yes"), "school", False, id="In, no label"),
        pytest.param(expression("team", "NotIn", "school"), "school", False, id="NotIn"),
        pytest.param(expression("gpu", "NotIn", "yes"), "school", True, id="NotIn, no label"),
        pytest.param(expression("team", "Exists"), "school", True, id="Exists"),
        pytest.param(expression("gpu", "Exists"), "school", False, id="Exists, no label"),
        pytest.param(expression("team", "DoesNotExist"), "school", False, id="DoesNotExist"),
        pytest.param(expression("gpu", "DoesNotExist"), "school", True, id="it does not exist"),
    ],
)
def test_whose_notebooks_are_served(
    allowed: dict[str, Any] | None, notebook: str, want: bool
) -> None:
    parsed = None if allowed is None else AllowedNamespaces.model_validate(allowed)
    assert admits(parsed, gateway="lab", notebook=notebook, labels=SCHOOL) is want
