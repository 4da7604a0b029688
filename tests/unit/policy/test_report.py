from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jupyter.api.base import MAX_MESSAGE
from elastic_jupyter.api.gateway import GatewayStatus
from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.policy import report
from elastic_jupyter.policy.report import Condition

NOW = datetime(2026, 11, 24, 18, tzinfo=UTC)
BEFORE, STAMP = "2026-11-24T17:00:00Z", "2026-11-24T18:00:00Z"


def said(status: str = "False", reason: str = "Progressing", message: str = "soon") -> Object:
    return {
        "type": "Ready",
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": 1,
        "lastUpdateTime": BEFORE,
        "lastTransitionTime": BEFORE,
    }


@pytest.mark.parametrize(
    ("old", "wanted", "generation", "want_update", "want_transition"),
    [
        pytest.param([], Condition("Ready", False, "X"), 1, STAMP, STAMP, id="new"),
        pytest.param(
            [said()], Condition("Ready", False, "Progressing", "soon"), 1, BEFORE, BEFORE, id="same"
        ),
        pytest.param(
            [said()],
            Condition("Ready", False, "Progressing", "late"),
            1,
            STAMP,
            BEFORE,
            id="another message is no transition",
        ),
        pytest.param(
            [said()],
            Condition("Ready", False, "Progressing", "soon"),
            2,
            STAMP,
            BEFORE,
            id="said of a newer spec",
        ),
        pytest.param(
            [said()],
            Condition("Ready", True, "Progressing", "soon"),
            1,
            STAMP,
            STAMP,
            id="true now",
        ),
        pytest.param(
            [said("Unknown")],
            Condition("Ready", None, "Progressing", "soon"),
            1,
            BEFORE,
            BEFORE,
            id="still unknown",
        ),
    ],
)
def test_a_condition_remembers_when_its_status_changed(
    old: list[Object],
    wanted: Condition,
    generation: int,
    want_update: str,
    want_transition: str,
) -> None:
    (condition,) = report.conditions(old, [wanted], now=NOW, generation=generation)
    assert condition == {
        "type": "Ready",
        "status": {True: "True", False: "False", None: "Unknown"}[wanted.status],
        "reason": wanted.reason,
        "message": wanted.message,
        "observedGeneration": generation,
        "lastUpdateTime": want_update,
        "lastTransitionTime": want_transition,
    }


def test_what_is_not_said_any_more_goes_and_long_texts_are_cut() -> None:
    long = Condition("Bound", True, "R" * 2000, "m" * 40000)
    (condition,) = report.conditions([said()], [long], now=NOW, generation=None)
    assert condition["type"] == "Bound"
    assert (len(condition["reason"]), len(condition["message"])) == (1024, MAX_MESSAGE)
    GatewayStatus.model_validate({"conditions": [condition]})


def test_a_status_knows_the_conditions_that_it_has() -> None:
    status = GatewayStatus.model_validate({"conditions": [said()]})
    assert report.knows(status, "Ready")
    assert not report.knows(status, "ImageReplaced")
    assert not report.knows(None, "Ready")


# As in a status, a key holds always a mapping or never.
values = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
flat = st.dictionaries(st.sampled_from("abc"), values)
statuses = st.fixed_dictionaries(
    {}, optional={"a": values, "b": values, "x": flat, "y": st.fixed_dictionaries({"z": flat})}
)


def without_none(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {key: without_none(inner) for key, inner in value.items() if inner is not None}


def applied(old: Any, patch: Any) -> Any:
    """Apply a merge patch as RFC 7386 says."""
    if not isinstance(patch, dict):
        return patch
    new = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            new.pop(key, None)
        else:
            new[key] = applied(new.get(key), value)
    return new


def has(status: Any, wanted: Any) -> bool:
    """Say whether a status has all of ``wanted``, None standing for what it lacks."""
    if not isinstance(wanted, dict):
        return bool(status == wanted)
    return isinstance(status, dict) and all(
        has(status.get(key), value) for key, value in wanted.items()
    )


@given(statuses.map(without_none), statuses)
def test_a_patch_makes_the_old_status_the_new_one(old: Object, new: Object) -> None:
    patch = report.merge_patch(old, new)
    after = applied(old, patch)
    assert has(after, new)
    assert {key: after.get(key) for key in old if key not in new} == {
        key: value for key, value in old.items() if key not in new
    }
    assert report.merge_patch(after, new) == {}


def test_a_status_that_says_it_all_needs_no_patch() -> None:
    old = {"kernels": {"queued": 0, "running": 1}, "replicas": 1, "url": None}
    assert report.merge_patch(old, {"kernels": {"queued": 0}, "replicas": 1, "url": None}) == {}


def test_times_are_written_in_whole_seconds_of_utc() -> None:
    moment = datetime(2026, 11, 24, 19, 0, 0, 999999, tzinfo=timezone(timedelta(hours=1)))
    assert report.timestamp(moment) == STAMP
