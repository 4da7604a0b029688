"""GPU time that a kernel used, and gave back while it slept."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jupyter.api import names
from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.policy import usage
from elastic_jupyter.policy.usage import NOTHING, Usage
from tests.support.kernels import a_kernel, model

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))
SPANS = st.timedeltas(timedelta(0), timedelta(days=9000))


def test_two_gpus_for_an_hour_are_two_hours() -> None:
    ran = usage.after_run(NOTHING, gpus=2, since=NOW - HOUR, until=NOW)
    assert ran == Usage(used=2 * HOUR, asleep_since=NOW)
    woken = usage.after_sleep(ran, gpus=2, until=NOW + 3 * HOUR)
    assert woken == Usage(used=2 * HOUR, given_back=6 * HOUR)


def test_an_end_that_is_told_twice_counts_once() -> None:
    ran = usage.after_run(NOTHING, gpus=1, since=NOW - HOUR, until=NOW)
    assert usage.after_run(ran, gpus=1, since=NOW - HOUR, until=NOW + HOUR) == ran


def test_a_kernel_that_never_ran_gave_nothing_back() -> None:
    waited = usage.after_run(NOTHING, gpus=1, since=None, until=NOW)
    assert usage.after_sleep(waited, gpus=1, until=NOW + HOUR) == NOTHING


@given(st.lists(MOMENTS, min_size=2, max_size=12), st.integers(0, 8))
def test_time_neither_vanishes_nor_is_counted_twice(moments: list[datetime], gpus: int) -> None:
    moments = sorted(moments)
    told = NOTHING
    for began, ended in zip(moments[::2], moments[1::2], strict=False):
        told = usage.after_sleep(told, gpus=gpus, until=began)
        told = usage.after_run(told, gpus=gpus, since=began, until=ended)
    even = moments[: len(moments) // 2 * 2]
    whole = gpus * (even[-1] - even[0])
    if told.used:
        assert told.used + told.given_back <= whole
        if all(ended > began for began, ended in zip(even[::2], even[1::2], strict=True)):
            assert told.used + told.given_back == whole


@given(st.builds(Usage, SPANS, SPANS, st.none() | MOMENTS))
def test_what_is_noted_on_an_object_is_read_back(told: Usage) -> None:
    kernel = a_kernel(annotations={names.ANNOTATION_GPU_USAGE: usage.annotation(told)})
    read = usage.usage_of(model(JupyterKernel, kernel))
    assert abs(read.used - told.used) < timedelta(milliseconds=1)
    assert abs(read.given_back - told.given_back) < timedelta(milliseconds=1)
    assert read.asleep_since == told.asleep_since


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '{"used": "much"}',
        '{"used": -1}',
        '{"used": NaN}',
        '{"used": 1e999}',
        '{"used": 86399999999999}',
        '{"givenBack": 86399999999999}',
        pytest.param("[" * 100_000, id="nested too deeply"),
        '{"asleepSince": 3}',
        '{"asleepSince": "2026-01-01T12:00:00"}',
        '{"used": {"used": 1}}',
    ],
)
def test_an_annotation_that_somebody_else_wrote_counts_for_nothing(text: str) -> None:
    kernel = a_kernel(annotations={names.ANNOTATION_GPU_USAGE: text})
    assert usage.usage_of(model(JupyterKernel, kernel)) == NOTHING


@pytest.mark.parametrize(
    ("template", "want"),
    [
        pytest.param(None, 0, id="not remembered"),
        pytest.param({"spec": "nonsense"}, 0, id="no pod"),
        pytest.param({"spec": {"containers": [{}]}}, 0, id="no GPU"),
        pytest.param(a_kernel(gpus=2)["spec"]["template"], 2, id="two"),
    ],
)
def test_the_gpus_of_a_template(template: dict[str, Any] | None, want: int) -> None:
    assert usage.gpus(template) == want


def test_a_kernel_runs_since_its_condition_says_so() -> None:
    condition = {"type": "Running", "status": "True", "lastTransitionTime": "2026-01-01T12:00:00Z"}
    runs = a_kernel(status={"phase": "Running", "conditions": [condition]})
    assert usage.running_since(model(JupyterKernel, runs)) == NOW
    ended = a_kernel(status={"phase": "Failed", "runningSince": "2026-01-01T12:00:00Z"})
    assert usage.running_since(model(JupyterKernel, ended)) is None
    assert usage.ran_since(model(JupyterKernel, ended)) == NOW
