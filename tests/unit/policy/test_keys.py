"""Connection keys."""

import pytest

from elastic_jupyter.policy.keys import connection_key


def test_each_kernel_object_has_a_key_of_its_own() -> None:
    master = b"m" * 32
    assert connection_key(master, "a") == connection_key(master, "a")
    assert connection_key(master, "a") != connection_key(master, "b")
    assert connection_key(master, "a") != connection_key(b"n" * 32, "a")


def test_a_short_master_key_is_refused() -> None:
    with pytest.raises(ValueError, match="3 bytes"):
        connection_key(b"abc", "a")
