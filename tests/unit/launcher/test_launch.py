"""Flags and environment into what is asked for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jupyter.errors import ConfigError
from elastic_jupyter.launcher import launch
from elastic_jupyter.launcher.launch import Launch
from elastic_jupyter.store.protocol import Key

ID = "5a1f6d0e-0d6c-4c5e-9b0f-0123456789ab"
FLAGS = {
    "--RemoteProcessProxy.kernel-id": ID,
    "--kernel-template-name": "sample",
    "--kernel-template-namespace": "shelf",
}
ENV = {"EG_NAME": "gw", "EG_NAMESPACE": "team"}
OUR_POD = {
    "ELASTIC_JUPYTER_GATEWAY": "ours",
    "ELASTIC_JUPYTER_NAMESPACE": "place",
    "ELASTIC_JUPYTER_GATEWAY_UID": "uid-of-ours",
}


def read(**settings: str) -> Launch:
    """Read a complete call; ``settings`` are variables, or flags in Python's spelling."""
    return Launch.read(FLAGS, ENV | settings)


def test_all_that_the_original_reads_has_its_place():
    flags = FLAGS | {
        "--RemoteProcessProxy.port-range": "0..0",
        "--RemoteProcessProxy.response-address": "10.0.0.1:8877",
        "--RemoteProcessProxy.public-key": "MIGf+/A0=",
        "--RemoteProcessProxy.spark-context-initialization-mode": "none",
    }
    env = ENV | {
        "KERNEL_POD_NAME": "ann-1",
        "KERNEL_NAMESPACE": "team",
        "KERNEL_USERNAME": "ann",
        "KERNEL_IMAGE": "example.com/kernel:1",
        "KERNEL_NAME": "python-kubernetes",
        "KERNEL_LANGUAGE": "python",
        "KERNEL_UID": "1000",
    }
    assert Launch.read(flags, env) == Launch(
        key=Key("team", "ann-1"),
        kernel_id=ID,
        template=Key("shelf", "sample"),
        gateway="gw",
        gateway_uid=None,
        image="example.com/kernel:1",
        user="ann",
        spec_name="python-kubernetes",
        env={
            "EG_PORT_RANGE": "0..0",
            "EG_RESPONSE_ADDRESS": "10.0.0.1:8877",
            "EG_PUBLIC_KEY": "MIGf+/A0=",
            "KERNEL_SPARK_CONTEXT_INIT_MODE": "none",
            "KERNEL_LANGUAGE": "python",
            "KERNEL_NAME": "python-kubernetes",
        },
    )


def test_the_least_that_has_to_be_given():
    wanted = Launch.read(FLAGS, ENV)
    assert wanted.key == Key("team", f"jovyan-{ID}")
    assert (wanted.image, wanted.user, wanted.spec_name, wanted.env) == (None, None, None, {})


def test_a_kernel_is_named_after_its_user_as_enterprise_gateway_names_it():
    assert read(KERNEL_USERNAME="Ann.B@x").key.name == f"ann-b-x-{ID}"


def test_what_is_empty_is_not_given():
    assert Launch.read(FLAGS | {launch.PUBLIC_KEY: ""}, ENV | {"KERNEL_POD_NAME": ""}) == read()


def test_in_our_gateways_pod_its_own_environment_names_the_owner():
    wanted = Launch.read(FLAGS, OUR_POD)
    assert (wanted.gateway, wanted.gateway_uid) == ("ours", "uid-of-ours")
    assert wanted.key.namespace == "place"


def test_the_originals_variables_win_and_bring_no_uid_of_another_gateway():
    wanted = Launch.read(FLAGS, OUR_POD | ENV)
    assert (wanted.gateway, wanted.gateway_uid, wanted.key.namespace) == ("gw", None, "team")


@pytest.mark.parametrize("name", [*FLAGS, *ENV])
def test_what_is_missing_is_named(name):
    with pytest.raises(ConfigError, match=f"{name} is missing: "):
        Launch.read(
            {flag: value for flag, value in FLAGS.items() if flag != name},
            {variable: value for variable, value in ENV.items() if variable != name},
        )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("--RemoteProcessProxy.kernel-id", "{kernel_id}"),
        ("--RemoteProcessProxy.kernel-id", "a" * 37),
        ("--RemoteProcessProxy.kernel-id", "UPPER"),
        ("--RemoteProcessProxy.port-range", "{port_range}"),
        ("--RemoteProcessProxy.port-range", "40000-42000"),
        ("--RemoteProcessProxy.response-address", "{response_address}"),
        ("--RemoteProcessProxy.response-address", "10.0.0.1"),
        ("--RemoteProcessProxy.public-key", "{public_key}"),
        ("--RemoteProcessProxy.public-key", "-----BEGIN PUBLIC KEY-----\nMIGf"),
        ("--kernel-template-name", "../secrets/x"),
        ("--kernel-template-name", "a" * 254),
        ("--kernel-template-namespace", "a/b"),
        ("EG_NAME", "Gateway"),
        ("EG_NAMESPACE", "a.b"),
        ("KERNEL_NAMESPACE", "another"),
        ("KERNEL_POD_NAME", "a_b"),
        ("KERNEL_POD_NAME", "a" * 64),
        ("KERNEL_USERNAME", "a" * 254),
        ("KERNEL_USERNAME", "no \udcff text"),
        ("KERNEL_NAME", "a\nb"),
        ("KERNEL_IMAGE", "a\x00b"),
        ("KERNEL_LANGUAGE", "\x1b[2J"),
    ],
)
def test_what_has_the_wrong_form_is_named_with_the_form_that_is_right(name, value):
    with pytest.raises(ConfigError, match=f"^{name} must be ") as raised:
        Launch.read(FLAGS | ({name: value} if name.startswith("-") else {}), ENV | {name: value})
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (launch.PORT_RANGE, "40000..42000"),
        (launch.RESPONSE_ADDRESS, "[fd00::1]:8877"),
        (launch.RESPONSE_ADDRESS, "gateway.team.svc:8877"),
        (launch.SPARK_CONTEXT_INIT_MODE, "lazy"),
        (launch.TEMPLATE_NAME, "a.b-c.d"),
    ],
)
def test_what_enterprise_gateway_passes_is_taken(name, value):
    assert Launch.read(FLAGS | {name: value}, ENV)


@given(
    flags=st.dictionaries(st.sampled_from([*FLAGS, launch.PORT_RANGE]), st.text()),
    env=st.dictionaries(
        st.sampled_from([*ENV, *OUR_POD, "KERNEL_NAME", "KERNEL_POD_NAME"]), st.text()
    ),
)
def test_nothing_but_a_readable_complaint_comes_of_bad_input(flags, env):
    said = ""
    try:
        Launch.read(FLAGS | flags, ENV | env)
    except ConfigError as error:
        said = str(error)
    assert said.isprintable()
