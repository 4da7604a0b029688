import pytest

from elastic_jupyter.store.sqlite.merge import merge


@pytest.mark.parametrize(
    ("target", "patch", "want"),
    [
        pytest.param({"a": 1}, {"b": 2}, {"a": 1, "b": 2}, id="adds a key"),
        pytest.param({"a": 1, "b": 2}, {"a": None, "c": None}, {"b": 2}, id="None removes a key"),
        pytest.param({"a": {"b": 1}}, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}}, id="goes deeper"),
        pytest.param({"a": [1, 2]}, {"a": [3, None]}, {"a": [3, None]}, id="lists are replaced"),
        pytest.param({"a": 1}, {"a": {"b": {"c": None}}}, {"a": {"b": {}}}, id="no None is kept"),
        pytest.param({"a": {"b": 1}}, {"a": 2}, {"a": 2}, id="an object becomes a value"),
        pytest.param({}, {}, {}, id="nothing"),
    ],
)
def test_a_merge_patch(target, patch, want):
    before = repr(target)
    assert merge(target, patch) == want
    assert repr(target) == before
