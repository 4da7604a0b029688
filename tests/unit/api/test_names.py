"""Names that several processes must agree on."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jupyter.api import names

DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@pytest.mark.parametrize(
    ("user", "want"),
    [
        pytest.param("jovyan", "jovyan", id="a safe name stays"),
        pytest.param("Ann Lee", "ann-lee", id="capitals and spaces"),
        pytest.param("ann.lee@example.com", "ann-lee-example-com", id="a mail address"),
        pytest.param("--ann__", "ann", id="nothing but letters and digits at the ends"),
        pytest.param("a" * 40, "a" * 26, id="too long a name is cut off"),
        pytest.param("a" * 25 + "-lee", "a" * 25, id="no hyphen where it was cut off"),
        pytest.param("jürgen", "j-rgen", id="letters beyond ASCII"),
        pytest.param("李明", "jovyan", id="a name that has no safe letter"),
        pytest.param("", "jovyan", id="no name"),
    ],
)
def test_a_user_as_the_start_of_a_name(user: str, want: str) -> None:
    assert names.safe_user(user) == want


@given(st.text())
def test_every_user_becomes_a_dns_label_and_a_safe_one_stays(user: str) -> None:
    safe = names.safe_user(user)
    assert DNS_LABEL.fullmatch(safe)
    assert len(safe) <= 26
    assert names.safe_user(safe) == safe


@given(st.text(), st.uuids())
def test_the_kernels_of_every_user_have_a_name_that_is_a_label_and_ends_in_their_id(
    user: str, kernel_id: object
) -> None:
    name = names.kernel_object_name(user, str(kernel_id))
    assert DNS_LABEL.fullmatch(name)
    assert name.endswith(f"-{kernel_id}")


def test_secrets_of_things_with_the_same_name_do_not_meet() -> None:
    secrets = [
        names.connection_secret_name("x"),
        names.master_key_secret_name("x"),
        names.tombstones_secret_name("x"),
        names.gateway_token_secret_name("x"),
        names.auth_secret_name("x"),
    ]
    assert len(set(secrets)) == len(secrets)


def test_ports_of_a_kernel_are_apart_and_below_those_of_outgoing_connections() -> None:
    ports = list(names.PORTS.values())
    assert len(set(ports)) == len(ports)
    assert min(ports) >= 1024
    assert max(ports) < 32768


def test_a_service_is_reached_from_every_namespace() -> None:
    assert names.service_url("gw", "team") == "http://gw.team:8888"
