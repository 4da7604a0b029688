"""JSON from outside that is nested deeper than Python's stack."""

import gc
import json
from collections.abc import Iterator

import pytest

from elastic_jupyter import untrusted_json


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """Leave the garbage collector as it was."""
    thresholds = gc.get_threshold()
    yield
    gc.set_threshold(*thresholds)
    gc.enable()


class Garbage:
    """What only the garbage collector ends; notes in ``ended`` that its end took place in full."""

    def __init__(self, ended: list[None]) -> None:
        self.me, self.ended = self, ended

    def __del__(self) -> None:
        self._call(20)
        self.ended.append(None)

    def _call(self, deeper: int) -> None:
        if deeper:
            self._call(deeper - 1)


def test_what_is_nested_too_deeply_is_a_value_error() -> None:
    with (
        pytest.raises(untrusted_json.NestedTooDeeply, match="too deeply"),
        untrusted_json.reading(),
    ):
        json.loads("[" * 9999)


def test_nothing_is_collected_at_the_bottom_of_the_stack() -> None:
    ended: list[None] = []
    for level in range(0, 1000, 10):
        gc.collect()
        Garbage(ended)
        gc.set_threshold(level, 1, 1)  # of the lists that are made, and not yet closed
        with pytest.raises(ValueError, match="too deeply"), untrusted_json.reading():
            json.loads("[" * 9999)
    gc.collect()
    assert len(ended) == 100


@pytest.mark.parametrize("collects", [True, False])
def test_the_collector_is_afterwards_as_it_was(collects: bool) -> None:
    (gc.enable if collects else gc.disable)()
    with untrusted_json.reading():
        assert json.loads("[1]") == [1]
        assert not gc.isenabled()
    assert gc.isenabled() == collects
