from datetime import UTC, datetime, timedelta

import pytest

from elastic_jupyter.kube.events import EventRecorder
from elastic_jupyter.kube.kinds import EVENT, NAMESPACE, POD, Key
from tests.support.objects import an_object


class StoppedClock:
    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        return datetime(2026, 11, 24, 18, tzinfo=UTC) + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return self.passed


@pytest.fixture
def clock():
    return StoppedClock()


@pytest.fixture
def recorder(client, clock):
    return EventRecorder(client, component="elastic-jupyter-operator", clock=clock)


async def tell(recorder, obj, message="3 GPUs are missing"):
    await recorder.event(obj, type="Warning", reason="Queued", message=message)


async def test_an_event_names_its_object(recorder, server):
    pod = server.put(POD, an_object("a"))
    await tell(recorder, pod)
    (event,) = server.all(EVENT).values()
    name = event["metadata"].pop("name")
    assert name.startswith("a.")
    del event["metadata"]
    assert event == {
        "apiVersion": "v1",
        "kind": "Event",
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": "a",
            "namespace": "team",
            "uid": pod["metadata"]["uid"],
            "resourceVersion": pod["metadata"]["resourceVersion"],
        },
        "type": "Warning",
        "reason": "Queued",
        "message": "3 GPUs are missing",
        "count": 1,
        "firstTimestamp": "2026-11-24T18:00:00Z",
        "lastTimestamp": "2026-11-24T18:00:00Z",
        "source": {"component": "elastic-jupyter-operator"},
        "reportingComponent": "elastic-jupyter-operator",
    }


async def test_repeats_raise_the_count_and_are_written_now_and_then(recorder, server, clock):
    pod = server.put(POD, an_object("a"))
    for _ in range(100):
        await tell(recorder, pod)
        clock.passed += 1
    (event,) = server.all(EVENT).values()
    assert event["count"] == 91
    assert event["firstTimestamp"] == "2026-11-24T18:00:00Z"
    assert event["lastTimestamp"] == "2026-11-24T18:01:30Z"
    assert server.count("patch") == 3


async def test_another_message_is_another_event(recorder, server):
    pod = server.put(POD, an_object("a"))
    await tell(recorder, pod, "place 2")
    await tell(recorder, pod, "place 1")
    assert len(server.all(EVENT)) == 2


async def test_a_repeat_of_an_event_that_the_server_dropped_is_written_anew(
    recorder, server, clock
):
    pod = server.put(POD, an_object("a"))
    await tell(recorder, pod)
    (key,) = server.all(EVENT)
    server.remove(EVENT, key)
    clock.passed += 3600
    await tell(recorder, pod)
    (event,) = server.all(EVENT).values()
    assert event["count"] == 1


async def test_an_event_about_a_cluster_wide_object_is_in_the_default_namespace(recorder, server):
    await tell(recorder, server.put(NAMESPACE, {"metadata": {"name": "n"}}))
    (key,) = server.all(EVENT)
    assert key.namespace == "default"


async def test_a_refused_event_fails_nobody(recorder, server, caplog):
    pod = server.put(POD, an_object("a"))
    server.fail(403, verb="post")
    await tell(recorder, pod)
    assert "event not written" in caplog.text


async def test_a_message_that_is_too_long_is_cut(recorder, server):
    pod = server.put(POD, an_object("n" * 253))
    await tell(recorder, pod, "x" * 5000)
    (event,) = server.all(EVENT).values()
    assert len(event["message"]) == 1024
    assert len(event["metadata"]["name"]) <= 253
    assert Key("team", "n" * 253) in server.all(POD)
