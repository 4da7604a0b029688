"""Passwords of notebook servers; what Jupyter makes of them is asked of Jupyter itself."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jupyter_server.auth.security import passwd, passwd_check

from elastic_jupyter.policy import passwords

SALT = "00ff00ff00ff"
SALTS = st.text("0123456789abcdef", min_size=8, max_size=24)
TEXTS = st.text(max_size=12)


@given(password=TEXTS, salt=SALTS, guess=TEXTS)
def test_jupyter_lets_in_whoever_knows_the_password_and_nobody_else(
    password: str, salt: str, guess: str
) -> None:
    stored = passwords.hashed(password, salt=salt)
    assert passwd_check(stored, password)
    assert passwd_check(stored, guess) == (guess == password)


@given(password=TEXTS, salt=SALTS)
def test_what_we_hash_is_known_as_a_hash(password: str, salt: str) -> None:
    assert passwords.is_hashed(passwords.hashed(password, salt=salt))


@pytest.mark.parametrize("algorithm", ["argon2", "sha1", "sha256", "sha384", "sha512"])
def test_what_jupyter_hashes_is_known_as_a_hash(algorithm: str) -> None:
    assert passwords.is_hashed(passwd("secret", algorithm=algorithm))


@pytest.mark.parametrize(
    "password",
    [
        pytest.param("", id="nothing"),
        pytest.param("secret", id="a word"),
        pytest.param("sha256:secret", id="a password that starts like a hash"),
        pytest.param("sha256:salt:pepper", id="no hex digits"),
        pytest.param("sha256:00ff:", id="no digest"),
        pytest.param("my sha256:00ff:00ff", id="a hash within a sentence"),
        pytest.param("sha256:00ff:00ff!", id="a hash with an end of its own"),
        pytest.param("crc32:00ff:00ff", id="no algorithm for passwords"),
        pytest.param("argon2:secret", id="no hash of argon2"),
    ],
)
def test_a_password_is_not_taken_for_a_hash(password: str) -> None:
    assert not passwords.is_hashed(password)


@given(password=TEXTS, salt=SALTS, guess=TEXTS)
def test_a_password_matches_what_was_made_of_it_and_of_no_other(
    password: str, salt: str, guess: str
) -> None:
    assume(not passwords.is_hashed(password) and not passwords.is_hashed(guess))
    stored = passwords.hashed(password, salt=salt)
    assert passwords.matches(password, stored)
    assert passwords.matches(guess, stored) == (guess == password)


@pytest.mark.parametrize(
    ("password", "stored", "want"),
    [
        pytest.param("sha1:00ff:11", "sha1:00ff:11", True, id="the same hash"),
        pytest.param("sha1:00ff:11", "sha1:00ff:12", False, id="another hash"),
        pytest.param(
            passwords.hashed("secret", salt=SALT),
            passwords.hashed("secret", salt="11"),
            False,
            id="a hash with another salt",
        ),
        pytest.param("secret", "", False, id="nothing was stored"),
        pytest.param("secret", "sha256", False, id="a stored hash that was cut off"),
        pytest.param("secret", "secret", False, id="a password that was stored as it is"),
        pytest.param(
            "secret",
            passwords.hashed("secret", salt=SALT).replace("sha256:", "sha512:"),
            False,
            id="a stored hash of another algorithm",
        ),
        pytest.param(
            "pässwort", passwords.hashed("pässwort", salt=SALT), True, id="more than ASCII"
        ),
    ],
)
def test_whether_the_stored_hash_can_stay(password: str, stored: str, want: bool) -> None:
    assert passwords.matches(password, stored) is want
