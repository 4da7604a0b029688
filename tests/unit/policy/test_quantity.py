from fractions import Fraction

import pytest

from elastic_jupyter.policy import quantity


@pytest.mark.parametrize(
    ("text", "want"),
    [
        pytest.param("0", 0, id="zero"),
        pytest.param("3", 3, id="no suffix"),
        pytest.param("3k", 3000, id="thousands"),
        pytest.param("2E", 2 * 10**18, id="a suffix that is no exponent"),
        pytest.param("2e3", 2000, id="an exponent"),
        pytest.param("2E-1", Fraction(1, 5), id="a negative exponent"),
        pytest.param("1.5Gi", 3 * 2**29, id="powers of two"),
        pytest.param("250m", Fraction(1, 4), id="thousandths"),
        pytest.param("3K", None, id="not a suffix of Kubernetes"),
        pytest.param("-1", None, id="less than nothing"),
        pytest.param("1 Gi", None, id="a space"),
        pytest.param("", None, id="nothing"),
        pytest.param("1" * 5000, None, id="more digits than Python reads"),
        pytest.param("1e999999999", None, id="more than anybody has"),
    ],
)
def test_what_a_quantity_amounts_to(text: str, want: Fraction | int | None) -> None:
    assert quantity.parse(text) == want
