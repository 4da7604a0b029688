"""What is shown of a kernel, and why it is as it is."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from elastic_jupyter.api import names
from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.cli import view
from elastic_jupyter.cli.explain import explain
from elastic_jupyter.cli.extend import later, outcome
from elastic_jupyter.cli.table import COLUMNS, clock, table
from elastic_jupyter.cli.view import KernelView
from elastic_jupyter.policy import notices
from tests.support.kernels import KERNEL_ID, a_kernel, model

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
SESSION = {"id": "s", "path": "work/a.ipynb", "name": "a.ipynb", "type": "notebook"}


def at(**ago: float) -> str:
    return (NOW - timedelta(**ago)).isoformat()


def a_view(phase: str | None = None, **status: Any) -> KernelView:
    """Return the view of a kernel with a GPU; ``spec_`` and ``annotations`` are not its status."""
    spec = status.pop("spec", {})
    annotations = status.pop("annotations", None)
    given = {**status, **({"phase": phase} if phase else {})}
    kernel = a_kernel(
        gpus=1,
        user="ann",
        notebookRef={"namespace": "team", "name": "anns", "uid": "u"},
        annotations=annotations,
        status=given,
        **spec,
    )
    return view.of_kernel(model(JupyterKernel, kernel), now=NOW)


def condition(kind: str, status: str, reason: str = "", message: str = "", **ago: float) -> Any:
    said = {"type": kind, "status": status, "reason": reason, "message": message}
    return {**said, "lastTransitionTime": at(**ago)}


def runs(*, spec: Any = None, **activity: Any) -> KernelView:
    running = [condition("Running", "True", "Started", hours=2)]
    given = {"lastActivity": at(minutes=12), "busy": False, "connected": True, **activity}
    return a_view("Running", conditions=running, activity=given, spec=spec or {})


def sleeps(**more: Any) -> KernelView:
    tombstone = {
        "name": f"ann-{KERNEL_ID}",
        "spec": "gpu",
        "user": "ann",
        "notebook": {"namespace": "team", "name": "anns", "uid": "u"},
        "env": {},
        "template": a_kernel(gpus=2)["spec"]["template"],
        "sessions": [SESSION],
        "usage": {"used": 3600, "givenBack": 1800, "asleepSince": at(hours=1)},
        "reason": "",
        "at": at(hours=1),
        "lastExecution": at(hours=1, minutes=30),
        **more,
    }
    return view.of_tombstone(KERNEL_ID, tombstone, now=NOW)


WAKE = {
    "epoch": 2,
    "restored": ["x", "y"],
    "lost": [{"name": "f", "type": "lock", "reason": "it is held"}],
    "restoredCount": 3,
    "lostCount": 1,
}
IN_8 = (NOW + timedelta(minutes=8)).isoformat()
QUEUED = a_view(
    "Queued",
    queue={"position": 2, "length": 3, "reason": "all GPUs are used"},
    conditions=[condition("Running", "False", "Queued", "2nd of 3")],
)
FAILED = a_view(
    "Failed",
    completionTime=at(minutes=1),
    conditions=[
        condition("Running", "False", "OOMKilled"),
        condition("Failed", "True", "OOMKilled", "1Gi is used up"),
    ],
)


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        pytest.param(a_view(), ["nothing has looked at it yet"], id="new"),
        pytest.param(QUEUED, ["2nd of 3 in the queue", "all GPUs are used"], id="queued"),
        pytest.param(
            a_view(
                "Pending",
                conditions=[condition("Running", "False", "ErrImagePull", "no such image")],
            ),
            ["Starting the kernel", "ErrImagePull: no such image"],
            id="pending",
        ),
        pytest.param(runs(reclaimAt=IN_8), ["GPU: 1", "reclaimed at", "in 8 min"], id="idle"),
        pytest.param(runs(busy=True), ["A cell runs, so it is not idle"], id="busy"),
        pytest.param(runs(), ["It is not reclaimed, however long"], id="for ever"),
        pytest.param(runs(lastActivity=None), ["Nobody has said yet"], id="just started"),
        pytest.param(
            runs(reclaimAt=IN_8, spec={"keepUntil": IN_8}), ["kept until", "by request"], id="kept"
        ),
        pytest.param(
            runs(reclaimAt=IN_8, keepLimit=IN_8, spec={"keepUntil": at(hours=-9)}),
            ["in 8 min", "By request it is kept until", "reclaim.maxExtensionSeconds is the limit"],
            id="kept as long as may be",
        ),
        pytest.param(
            runs(reclaimAt=IN_8, leftRunning=["thread 'worker'", "task 'a'"]),
            ["It is kept, for this runs: thread 'worker', task 'a'.", "in 8 min, if it has ended"],
            id="something was left running",
        ),
        pytest.param(
            runs(unsavable="it is R", whenIdle="Keep"),
            ["variables cannot be saved: it is R; so it is not reclaimed, however long"],
            id="kept, for it cannot be saved",
        ),
        pytest.param(
            runs(unsavable="it is R", whenIdle="Delete", reclaimAt=IN_8),
            ["in 8 min", "cannot be saved: it is R; it is deleted", "they are gone"],
            id="deleted, for it cannot be saved",
        ),
        pytest.param(
            runs(saveFailed="the store is full", saveFailedAt=at(), reclaimAt=IN_8),
            ["could not be saved: the store is full. Nothing is lost", "tried again at"],
            id="it could not be saved",
        ),
        pytest.param(
            a_view("Running", epoch=2, activity={"wake": WAKE}),
            ["It woke with x, y and 1 more.", "Not restored: f (lock: it is held)."],
            id="woken",
        ),
        pytest.param(
            runs(busy=True, spec={"suspend": True}),
            ["to be released when its cell ends"],
            id="to be released",
        ),
        pytest.param(
            a_view("Running", conditions=[condition("Running", "True", "Evicted", "disk is full")]),
            ["It may end soon: Evicted: disk is full."],
            id="disturbed",
        ),
        pytest.param(
            FAILED, ["OOMKilled: 1Gi is used up", "next cell", "variables are gone"], id="failed"
        ),
        pytest.param(
            sleeps(),
            ["It was reclaimed at", "after 30 min without use", "variables are gone"],
            id="reclaimed",
        ),
        pytest.param(
            sleeps(reason="it was released by request"),
            ["It ended at", "it was released by request."],
            id="released",
        ),
        pytest.param(
            sleeps(reason=notices.DELETED),
            ["It ended at", "it was stopped (its JupyterKernel was deleted)."],
            id="stopped",
        ),
        pytest.param(
            sleeps(usage=None, lastExecution=None), ["It was reclaimed at"], id="an old tombstone"
        ),
    ],
)
def test_why_says(seen: KernelView, words: list[str]) -> None:
    told = explain(seen, now=NOW)
    assert [word for word in words if word not in told] == [], told


def cells(seen: KernelView) -> dict[str, str]:
    """Return the cells of the kernel's line; columns are at least two spaces apart."""
    names, line = table([seen], now=NOW).splitlines()
    starts = [names.index(column) for column in COLUMNS]
    ends = [*starts[1:], None]
    return {
        column: line[start:end].strip()
        for column, start, end in zip(COLUMNS, starts, ends, strict=True)
    }


@pytest.mark.parametrize(
    ("seen", "want"),
    [
        pytest.param(
            runs(reclaimAt=IN_8),
            {
                "KERNEL": KERNEL_ID[:8],
                "PHASE": "Running",
                "USER": "ann",
                "NOTEBOOK": "anns",
                "GPU": "1",
                "IDLE FOR": "12 min",
                "RECLAIM IN": "8 min",
                "GPU-H USED": "2.00",
                "GPU-H BACK": "0.00",
            },
            id="an idle kernel",
        ),
        pytest.param(runs(busy=True), {"IDLE FOR": "busy", "RECLAIM IN": ""}, id="a busy one"),
        pytest.param(runs(reclaimAt=at(seconds=1)), {"RECLAIM IN": "0 s"}, id="its time has come"),
        pytest.param(runs(spec={"suspend": True}), {"RECLAIM IN": "released"}, id="released"),
        pytest.param(
            runs(reclaimAt=IN_8, leftRunning=["thread 'worker'", "task 'a'"]),
            {"RECLAIM IN": "8 min, kept: thread 'worker' and 1 more"},
            id="something was left running",
        ),
        pytest.param(runs(whenIdle="Keep"), {"RECLAIM IN": "never"}, id="one that is kept"),
        pytest.param(QUEUED, {"PHASE": "Queued (2nd of 3)", "IDLE FOR": ""}, id="one that waits"),
        pytest.param(
            sleeps(),
            {
                "PHASE": "Reclaimed",
                "NOTEBOOK": "work/a.ipynb",
                "GPU": "2",
                "GPU-H USED": "1.00",
                "GPU-H BACK": "2.50",
            },
            id="one that sleeps",
        ),
    ],
)
def test_the_table_says(seen: KernelView, want: dict[str, str]) -> None:
    said = cells(seen)
    assert {column: said[column] for column in want} == want


@pytest.mark.parametrize(
    ("reason", "phase"),
    [
        ("", "Reclaimed"),
        (notices.RELEASED, "Reclaimed"),
        (notices.unsaved("it is R", released=False), "Reclaimed"),
        (notices.DELETED, "Stopped"),
        (notices.INTERRUPTED, "Stopped"),
        ("gave up after 600 s: no such image", "Failed"),
    ],
)
def test_a_kernel_that_sleeps_is_called_by_how_it_came_to_that(reason: str, phase: str) -> None:
    assert sleeps(reason=reason).phase == phase


@pytest.mark.parametrize("width", [None, 80, 140, 400])
def test_the_table_cuts_the_beginnings_of_paths_for_a_terminal(width: int | None) -> None:
    path = f"{'folder/' * 20}the end.ipynb"
    kept = {names.ANNOTATION_SESSIONS: json.dumps([{**SESSION, "path": path}])}
    seen = [a_view("Running", annotations=kept), runs()]
    _, line, short = table(seen, now=NOW, width=width).splitlines()
    assert "the end.ipynb" in line
    assert (path in line) is (width in (None, 400))
    assert "…" not in short
    if width == 140:
        assert max(map(len, (line, short))) <= width


def test_the_notebook_is_that_of_the_last_session() -> None:
    written = json.dumps([{**SESSION, "id": "t", "path": "old.ipynb"}, SESSION])
    assert a_view(annotations={names.ANNOTATION_SESSIONS: written}).notebook == "work/a.ipynb"


def test_a_program_gets_every_key_whatever_the_kernel() -> None:
    keys = {tuple(view.to_json(one, now=NOW)) for one in (a_view(), runs(), FAILED, sleeps())}
    assert len(keys) == 1
    told = view.to_json(runs(reclaimAt=IN_8), now=NOW)
    assert told["gpus"] == {"nvidia.com/gpu": 1}
    assert told["idleSeconds"] == 12 * 60
    assert told["reclaimAt"] == "2026-01-01T12:08:00Z"
    assert told["gpuHoursUsed"] == 2.0
    assert json.loads(json.dumps(told)) == told


@pytest.mark.parametrize(
    ("seen", "minutes"),
    [
        pytest.param(runs(reclaimAt=IN_8), 8 + 60, id="later than it would be"),
        pytest.param(runs(), 60, id="busy: from now on"),
        pytest.param(
            runs(reclaimAt=IN_8, spec={"keepUntil": at(minutes=-20)}), 80, id="longer than asked"
        ),
        pytest.param(runs(reclaimAt=at(minutes=3)), 60, id="its time has come"),
    ],
)
def test_an_extension_is_added_to(seen: KernelView, minutes: float) -> None:
    assert later(seen, timedelta(hours=1), now=NOW) == NOW + timedelta(minutes=minutes)


AN_HOUR = NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("seen", "want"),
    [
        pytest.param(runs(busy=True), "is kept until 1, if it is idle or not", id="no limit known"),
        pytest.param(
            runs(reclaimAt=IN_8, keepLimit=at(hours=-1)), "is kept until 1, if", id="within it"
        ),
        pytest.param(
            runs(reclaimAt=IN_8, keepLimit=at(minutes=-30)),
            "is kept until 2, if it is idle or not, and not until 1: reclaim.maxExtensionSeconds",
            id="beyond it",
        ),
        pytest.param(
            runs(reclaimAt=IN_8, keepLimit=IN_8),
            "is reclaimed at 3 as before, not until 1: reclaim.maxExtensionSeconds limits it",
            id="no extension at all",
        ),
    ],
)
def test_an_extension_is_told_as_what_becomes_of_it(seen: KernelView, want: str) -> None:
    moments = (AN_HOUR, NOW + timedelta(minutes=30), NOW + timedelta(minutes=8))
    words = outcome(seen, AN_HOUR, now=NOW)
    for number, moment in enumerate(moments, 1):
        words = words.replace(clock(moment, now=NOW), str(number))
    assert words.startswith(want)


def test_a_kernel_without_an_id_of_its_own_is_called_by_its_objects_name() -> None:
    kernel = model(JupyterKernel, a_kernel("mine", kernelID=None))
    assert view.of_kernel(kernel, now=NOW).id == "mine"
