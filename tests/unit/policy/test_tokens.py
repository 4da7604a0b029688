"""Gateway tokens that name their notebook."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jupyter.policy import tokens
from elastic_jupyter.policy.tokens import NotebookIdentity

MASTER = b"m" * 32
ANN = NotebookIdentity(namespace="team", name="ann", uid="1-2", user="ann")


def test_a_token_gives_its_notebook_back() -> None:
    assert tokens.verify(MASTER, tokens.mint(MASTER, ANN)) == ANN


def test_a_token_of_another_gateway_is_refused() -> None:
    assert tokens.verify(b"x" * 32, tokens.mint(MASTER, ANN)) is None


def test_a_payload_cannot_be_exchanged_under_a_signature() -> None:
    bob = tokens.mint(MASTER, NotebookIdentity("team", "bob", "3", "bob"))
    payload = bob.split(".")[0]
    assert tokens.verify(MASTER, f"{payload}.{tokens.mint(MASTER, ANN).split('.')[1]}") is None


def test_with_a_master_key_that_can_be_guessed_nobody_is_let_in() -> None:
    short = b"abc"
    with pytest.raises(ValueError, match="3 bytes"):
        tokens.mint(short, ANN)
    payload = tokens.mint(MASTER, ANN).split(".")[0]
    signed = hmac.new(short, b"token:" + payload.encode(), hashlib.sha256).digest()
    forged = f"{payload}.{base64.urlsafe_b64encode(signed).rstrip(b'=').decode()}"
    assert tokens.verify(short, forged) is None


@given(st.text())
def test_no_text_at_all_is_taken_for_a_token(text: str) -> None:
    assert tokens.verify(MASTER, text) is None
