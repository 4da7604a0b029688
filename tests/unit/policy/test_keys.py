"""Connection keys."""

import pytest

from elastic_jupyter.policy.keys import address_token, connection_key, digest


def test_each_kernel_object_has_a_key_of_its_own() -> None:
    master = b"m" * 32
    assert connection_key(master, "a") == connection_key(master, "a")
    assert connection_key(master, "a") != connection_key(master, "b")
    assert connection_key(master, "a") != connection_key(b"n" * 32, "a")


def test_each_incarnation_has_a_token_of_its_own() -> None:
    master = b"m" * 32
    tokens = {
        connection_key(master, "a"),
        address_token(master, "a", 1),
        address_token(master, "a", 2),
        address_token(master, "b", 1),
        address_token(b"n" * 32, "a", 1),
    }
    assert len(tokens) == 5
    assert address_token(master, "a", 1) in tokens


def test_a_short_master_key_is_refused() -> None:
    with pytest.raises(ValueError, match="3 bytes"):
        connection_key(b"abc", "a")


def test_a_digest_tells_master_keys_apart_and_is_no_key() -> None:
    one, other = digest(b"m" * 32), digest(b"n" * 32)
    assert one == digest(b"m" * 32) != other
    assert one not in (connection_key(b"m" * 32, "a"), address_token(b"m" * 32, "a", 1))
