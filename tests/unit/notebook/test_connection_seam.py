"""Fails when jupyter_server changes what ``connection.py`` replaces."""

import inspect

import pytest
from jupyter_server.gateway.connections import GatewayWebSocketConnection

from elastic_jupyter.notebook.connection import ElasticGatewayConnection


@pytest.mark.parametrize("name", ["connect", "disconnect", "handle_incoming_message"])
def test_upstream_still_has_the_method_that_is_overridden(name: str) -> None:
    theirs = getattr(GatewayWebSocketConnection, name)
    ours = getattr(ElasticGatewayConnection, name)
    assert len(inspect.signature(ours).parameters) == len(inspect.signature(theirs).parameters)
    assert inspect.iscoroutinefunction(theirs) == inspect.iscoroutinefunction(ours)


def test_upstream_still_chooses_the_protocol_by_this_trait() -> None:
    assert GatewayWebSocketConnection.kernel_ws_protocol.default_value == ""
    assert ElasticGatewayConnection.kernel_ws_protocol.default_value is None
