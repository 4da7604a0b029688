from datetime import UTC, datetime

import pytest

from elastic_jupyter.api.kernel import JupyterKernel, Phase
from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.policy import kernel_status
from elastic_jupyter.policy.images import Choice
from elastic_jupyter.policy.kernel_status import Told
from elastic_jupyter.policy.lifecycle import Sight, Sighting
from elastic_jupyter.policy.queue import Place
from elastic_jupyter.policy.report import Event
from tests.support.kernels import KERNEL_ID, a_kernel, model

NOW = datetime(2026, 11, 24, 18, tzinfo=UTC)
BEFORE, STAMP = "2026-11-24T17:00:00Z", "2026-11-24T18:00:00Z"
GONE = Sighting(Sight.LOST, "PodDeleted", "the kernel's pod was deleted")
REPLACED = Choice("ours", replaced="theirs")
REPLACED_TEXT = "theirs is an image of the original; ours runs in its place"


def condition(
    type_: str, status: str, reason: str, message: str = "", at: str = STAMP, **times: str
) -> Object:
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": 1,
        "lastUpdateTime": at,
        "lastTransitionTime": at,
        **times,
    }


RUNNING: Object = {
    "phase": "Running",
    "epoch": 3,
    "podName": "jovyan-1",
    "podIP": "10.0.0.7",
    "conditions": [condition("Running", "True", "Started", at=BEFORE)],
    "startTime": BEFORE,
    "runningSince": BEFORE,
    "lastReconcileTime": BEFORE,
    "activity": {"connected": True},
}
QUEUED: Object = {
    "phase": "Queued",
    "epoch": 3,
    "podName": "jovyan-1",
    "queue": {"position": 2, "length": 2, "reason": "no GPU"},
    "conditions": [
        condition("Running", "False", "Queued", "2nd of 2 in the queue; no GPU", at=BEFORE)
    ],
    "startTime": BEFORE,
    "lastReconcileTime": BEFORE,
}


def kernel(status: Object | None = None) -> JupyterKernel:
    return model(JupyterKernel, a_kernel(status=status))


def told(phase: Phase, seen: Sighting, *, place: Place | None = None) -> Told:
    return Told(phase, 3, pod_made=True, seen=seen, place=place)


RUNS = told(Phase.RUNNING, Sighting(Sight.RUNNING, ip="10.0.0.7"))


@pytest.mark.parametrize(
    ("status", "new", "want"),
    [
        pytest.param(
            None,
            Told(Phase.PENDING, 3, False, Sighting(Sight.NEVER_MADE, "Forbidden", "quota")),
            {
                "phase": "Pending",
                "epoch": 3,
                "conditions": [condition("Running", "False", "Forbidden", "quota")],
                "startTime": STAMP,
                "lastReconcileTime": STAMP,
            },
            id="the first word, without a pod",
        ),
        pytest.param(
            None,
            told(Phase.QUEUED, Sighting(Sight.WAITING, "Queued"), place=Place(1, 2, "")),
            {
                "phase": "Queued",
                "epoch": 3,
                "podName": "jovyan-1",
                "queue": {"position": 1, "length": 2},
                "conditions": [condition("Running", "False", "Queued", "1st of 2 in the queue")],
                "startTime": STAMP,
                "lastReconcileTime": STAMP,
            },
            id="queued",
        ),
        pytest.param(
            QUEUED,
            told(Phase.QUEUED, Sighting(Sight.WAITING), place=Place(1, 1, "")),
            {
                "queue": {"position": 1, "length": 1, "reason": None},
                "conditions": [
                    condition(
                        "Running",
                        "False",
                        "Queued",
                        "1st of 1 in the queue",
                        lastTransitionTime=BEFORE,
                    )
                ],
                "lastReconcileTime": STAMP,
            },
            id="moved up, and an older reason is removed",
        ),
        pytest.param(
            QUEUED,
            RUNS,
            {
                "phase": "Running",
                "podIP": "10.0.0.7",
                "queue": None,
                "conditions": [condition("Running", "True", "Started")],
                "runningSince": STAMP,
                "lastReconcileTime": STAMP,
            },
            id="its turn came",
        ),
        pytest.param(RUNNING, RUNS, {}, id="all that was said before"),
        pytest.param(
            {key: value for key, value in RUNNING.items() if key != "runningSince"},
            RUNS,
            {"runningSince": BEFORE, "lastReconcileTime": STAMP},
            id="since when it ran, of one that an older version began",
        ),
        pytest.param(
            RUNNING,
            told(Phase.FAILED, GONE),
            {
                "phase": "Failed",
                "conditions": [
                    condition("Running", "False", GONE.reason, GONE.message),
                    condition("Failed", "True", GONE.reason, GONE.message),
                ],
                "completionTime": STAMP,
                "lastReconcileTime": STAMP,
            },
            id="lost, and the address stays",
        ),
        pytest.param(
            RUNNING,
            told(Phase.SUCCEEDED, Sighting(Sight.SUCCEEDED, "Completed", "code 0", ip="10.0.0.7")),
            {
                "phase": "Succeeded",
                "conditions": [
                    condition("Running", "False", "Completed", "code 0"),
                    condition("Succeeded", "True", "Completed", "code 0"),
                ],
                "completionTime": STAMP,
                "lastReconcileTime": STAMP,
            },
            id="succeeded",
        ),
        pytest.param({**RUNNING, "phase": "Failed"}, RUNS, {}, id="the end is written once"),
        pytest.param(
            None,
            Told(Phase.RUNNING, 1, True, Sighting(Sight.RUNNING), image=REPLACED),
            {
                "phase": "Running",
                "epoch": 1,
                "podName": "jovyan-1",
                "conditions": [
                    condition("Running", "True", "Started"),
                    condition("ImageReplaced", "True", "OriginalImage", REPLACED_TEXT),
                ],
                "runningSince": STAMP,
                "startTime": STAMP,
                "lastReconcileTime": STAMP,
            },
            id="an image of the original",
        ),
    ],
)
def test_the_patch_of_a_status(status: Object | None, new: Told, want: Object) -> None:
    assert kernel_status.patch(kernel(status), new, now=NOW) == want


WAKE = {
    "epoch": 3,
    "restored": ["a"],
    "lost": [{"name": "f", "type": "lock", "reason": "it is held"}],
    "restoredCount": 1,
    "lostCount": 1,
}
WOKE = {**RUNNING, "activity": {"wake": WAKE}}
LOST_TEXT = "f (lock: it is held)."
LOST = condition("Restored", "False", "NotRestored", LOST_TEXT)
KNOWN = {**RUNNING, "conditions": [condition("ImageReplaced", "True", "OriginalImage")]}
QUEUED_AGAIN = told(Phase.QUEUED, Sighting(Sight.WAITING), place=Place(1, 1, "no GPU"))
ORIGINAL = Told(Phase.RUNNING, 3, True, Sighting(Sight.RUNNING), image=REPLACED)


@pytest.mark.parametrize(
    ("status", "new", "want"),
    [
        pytest.param(
            RUNNING,
            told(Phase.FAILED, GONE),
            [Event("Warning", GONE.reason, GONE.message)],
            id="it failed",
        ),
        pytest.param(
            {**RUNNING, "phase": "Failed"}, told(Phase.FAILED, GONE), [], id="it had failed"
        ),
        pytest.param(None, QUEUED_AGAIN, [Event("Normal", "Queued", "no GPU")], id="it waits"),
        pytest.param(QUEUED, QUEUED_AGAIN, [], id="it waits still"),
        pytest.param(
            None,
            told(Phase.QUEUED, Sighting(Sight.WAITING), place=Place(2, 2, "")),
            [Event("Normal", "Queued", "it waits for its turn to get a GPU")],
            id="it waits and nobody said why",
        ),
        pytest.param(
            None,
            told(Phase.PENDING, Sighting(Sight.NEVER_MADE, "Forbidden", "quota")),
            [Event("Warning", "Forbidden", "quota")],
            id="something is in the way",
        ),
        pytest.param(QUEUED, RUNS, [], id="that it runs is no news"),
        pytest.param(
            None,
            told(Phase.PENDING, Sighting(Sight.STARTING, "Unschedulable", "no node")),
            [Event("Warning", "Unschedulable", "no node")],
            id="no node for it",
        ),
        pytest.param(
            None,
            told(Phase.PENDING, Sighting(Sight.STARTING, "ContainerCreating")),
            [],
            id="that it starts is no news",
        ),
        pytest.param(
            RUNNING,
            told(Phase.RUNNING, Sighting(Sight.RUNNING, "NodeLost", "n is away")),
            [Event("Warning", "NodeLost", "n is away")],
            id="its node is lost",
        ),
        pytest.param(
            None,
            ORIGINAL,
            [Event("Warning", "ImageReplaced", REPLACED_TEXT)],
            id="another image runs",
        ),
        pytest.param(KNOWN, ORIGINAL, [], id="another image runs, as told"),
        pytest.param(WOKE, RUNS, [Event("Warning", "NotRestored", LOST_TEXT)], id="not all woke"),
        pytest.param({**WOKE, "conditions": [LOST]}, RUNS, [], id="not all woke, as told"),
        pytest.param(
            {**RUNNING, "activity": {"wake": {**WAKE, "epoch": 2}}}, RUNS, [], id="an earlier wake"
        ),
        pytest.param(
            {**RUNNING, "activity": {"wake": {**WAKE, "lost": []}}}, RUNS, [], id="all woke"
        ),
    ],
)
def test_what_is_worth_an_event(status: Object | None, new: Told, want: list[Event]) -> None:
    assert kernel_status.events(kernel(status), new) == want


SOON = "2026-11-24T18:01:00Z"
WARNED: Object = {"lastActivity": BEFORE, "reclaimAt": SOON, "warnedAt": STAMP}
WARNING = (
    "it is idle, and is reclaimed at 2026-11-24 18:01:00 UTC unless a cell runs before; to keep "
    f"it: elastic-jupyter extend {KERNEL_ID} 1h"
)
UNSAVABLE: Object = {"unsavable": "variables of R kernels cannot be saved"}
UNSAVED: Object = {
    "saveFailed": "the store is full",
    "saveFailedAt": STAMP,
    "reclaimAt": SOON,
}
AGAIN = (
    "it runs on and keeps its resources, nothing is lost, and saving is tried again at 2026-11-24 "
    "18:01:00 UTC"
)
KEPT = "variables of R kernels cannot be saved: so it is not reclaimed, however long it is idle"
GOES = (
    "variables of R kernels cannot be saved: it is deleted when it is idle for too long, and they "
    "are gone"
)


@pytest.mark.parametrize(
    ("status", "want"),
    [
        pytest.param(
            {"activity": WARNED}, ("ReclaimSoon", "True", "IdleTimeout", WARNING), id="a warning"
        ),
        pytest.param(
            {"activity": {**UNSAVABLE, "whenIdle": "Keep"}},
            ("Savable", "False", "KeepInstead", KEPT),
            id="it is kept",
        ),
        pytest.param(
            {"activity": {**UNSAVABLE, "whenIdle": "Delete"}},
            ("Savable", "False", "DeleteInstead", GOES),
            id="it will be deleted",
        ),
        pytest.param(
            {"activity": UNSAVED},
            ("Savable", "False", "SaveFailed", f"the store is full: {AGAIN}"),
            id="it could not be saved",
        ),
        pytest.param(
            {"activity": UNSAVED, "runningSince": SOON}, None, id="the one before could not be"
        ),
        pytest.param({"activity": {"reclaimAt": SOON}}, None, id="not warned yet"),
        pytest.param({"activity": {**WARNED, "reclaimAt": None}}, None, id="a cell runs"),
        pytest.param(
            {"activity": WARNED, "runningSince": SOON}, None, id="the one before was warned"
        ),
        pytest.param({"activity": WARNED, "phase": "Pending"}, None, id="it does not run yet"),
    ],
)
def test_what_the_gateway_foresees_is_a_condition_and_once_an_event(
    status: Object, want: tuple[str, ...] | None
) -> None:
    before = kernel({**RUNNING, **status})
    patch = kernel_status.patch(before, RUNS, now=NOW)
    said = patch.get("conditions", [])[1:]
    assert [(one["type"], one["status"], one["reason"], one["message"]) for one in said] == (
        [want] if want else []
    )
    told_of = [(event.reason, event.message) for event in kernel_status.events(before, RUNS)]
    reasons = {"IdleTimeout": "ReclaimSoon", "SaveFailed": "SaveFailed"}
    assert told_of == ([(reasons.get(want[2], "NotSavable"), want[3])] if want else [])
    if want:
        after = kernel({**RUNNING, **status, "conditions": patch["conditions"]})
        assert kernel_status.events(after, RUNS) == []
        assert kernel_status.patch(after, RUNS, now=NOW) == {}


def test_what_could_not_be_saved_is_said_while_it_is_saved_again_and_is_no_news() -> None:
    before = kernel({**RUNNING, "activity": UNSAVED})
    said = kernel_status.patch(before, RUNS, now=NOW)["conditions"]
    told_before = kernel({**RUNNING, "activity": UNSAVED, "conditions": said})
    again = told(Phase.HIBERNATING, RUNS.seen)
    assert kernel_status.patch(told_before, again, now=NOW)["conditions"][1:] == said[1:]
    assert kernel_status.events(told_before, again) == []


@pytest.mark.parametrize(
    ("activity", "want"),
    [({"connected": True}, Phase.HIBERNATING), (UNSAVABLE, Phase.RUNNING)],
)
def test_what_cannot_be_saved_never_seems_to_hibernate(activity: Object, want: Phase) -> None:
    status = {**RUNNING, "activity": activity}
    suspended = a_kernel(status=status, suspend=True, reclaimPolicy="Hibernate")
    verdict = kernel_status.verdict(model(JupyterKernel, suspended), Sight.RUNNING)
    assert verdict.phase is want


def test_what_did_not_come_back_is_a_condition_until_the_kernel_sleeps_again() -> None:
    patch = kernel_status.patch(kernel(WOKE), RUNS, now=NOW)
    assert patch["conditions"][1:] == [LOST]
    known = {**WOKE, "conditions": [*RUNNING["conditions"], LOST]}
    rests = Told(Phase.HIBERNATED, 3, True, Sighting(Sight.NEVER_MADE))
    said = kernel_status.patch(kernel(known), rests, now=NOW)["conditions"]
    assert [one["type"] for one in said] == ["Running"]
