"""JSON that is too deep for Python: cut where it is too deep, and whole otherwise."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jupyter.kube.nesting import CUT, cut
from elastic_jupyter.kube.responses import decode

TEXTS = st.text(alphabet='ab"\\{}[]\n\u00e9', max_size=6)
JSON = st.recursive(
    st.none() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=30,
)


def shallow(value: Any, levels: int) -> Any:
    """What ``cut`` must come to, on values instead of text."""
    if not isinstance(value, dict | list):
        return value
    if not levels:
        return json.loads(CUT)
    if isinstance(value, dict):
        return {key: shallow(inner, levels - 1) for key, inner in value.items()}
    return [shallow(inner, levels - 1) for inner in value]


@given(JSON, st.integers(min_value=0, max_value=5), st.sampled_from([None, 2]))
def test_what_is_too_deep_becomes_a_text_and_nothing_else_changes(
    value: Any, levels: int, indent: int | None
) -> None:
    content = json.dumps(value, indent=indent).encode()
    assert json.loads(cut(content, levels=levels)) == shallow(value, levels)


@pytest.mark.parametrize("opening", ['{"a":', "["])
def test_an_object_that_no_decoder_takes_is_read_without_its_depths(opening: str) -> None:
    closing = {"{": "}", "[": "]"}[opening[0]]
    deep = opening * 9000 + "1" + closing * 9000
    listing = f'{{"items": [{{"name": "bad", "spec": {deep}}}, {{"name": "good"}}]}}'
    bad, good = decode(listing.encode(), what="list")["items"]
    assert (bad["name"], good["name"]) == ("bad", "good")
