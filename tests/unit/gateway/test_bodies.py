"""The body of POST /api/kernels: taken, or refused with the name of the field."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jupyter.gateway.bodies import Start


@pytest.mark.parametrize(
    ("body", "want"),
    [
        pytest.param(b"", Start(), id="no body"),
        pytest.param(b"null", Start(), id="null"),
        pytest.param(b'{"name": null, "env": null}', Start(), id="nulls"),
        pytest.param(b'{"name": "", "kernel_id": 1, "path": []}', Start(), id="what is not read"),
        pytest.param(
            b'{"name": "r", "env": {"KERNEL_A": "\xc3\xa9"}}',
            Start("r", {"KERNEL_A": "\u00e9"}),
            id="a name and a variable",
        ),
    ],
)
def test_a_wish_is_read(body: bytes, want: Start) -> None:
    assert Start.read(body) == want


@pytest.mark.parametrize(
    ("body", "want"),
    [
        pytest.param(b"{", "no JSON", id="half an object"),
        pytest.param(b"\xff\xfe\xff", "no JSON", id="bytes that are no text"),
        pytest.param(b"[" * 100_000, "no JSON", id="too deep"),
        pytest.param(rb'{"name": "\ud800"}', "no JSON", id="half a surrogate pair"),
        pytest.param(b"[]", "a JSON object", id="a list"),
        pytest.param(b'"python3"', "a JSON object", id="a word"),
        pytest.param(b'{"name": 1}', "name must be a string", id="a number for a name"),
        pytest.param(b'{"name": []}', "name must be a string", id="a list for a name"),
        pytest.param(b'{"env": []}', "env must be an object", id="a list of variables"),
        pytest.param(b'{"env": "A=1"}', "env must be an object", id="a text of variables"),
        pytest.param(
            b'{"env": {"KERNEL_A": 1}}', "env.KERNEL_A must be a string", id="a number for a value"
        ),
    ],
)
def test_what_is_wrong_is_named(body: bytes, want: str) -> None:
    with pytest.raises(ValueError, match=want):
        Start.read(body)


JSON = st.recursive(
    st.none() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@given(st.binary() | st.fixed_dictionaries({}, optional={"name": JSON, "env": JSON}).map(
    lambda body: json.dumps(body).encode()
))  # fmt: skip
def test_nothing_else_comes_of_any_body(body: bytes) -> None:
    with contextlib.suppress(ValueError):
        Start.read(body)
