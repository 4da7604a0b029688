"""Rules for all tests."""

import os
from collections.abc import Iterator

import hypothesis
import pytest

# How long a case takes says something about the machine, not about the code.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")

_NO_SKIP = "ELASTIC_JUPYTER_NO_SKIP"


def _refuse_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    # An expected failure is reported as skipped, too, and is none.
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get(_NO_SKIP):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{_NO_SKIP} is set, but this was skipped: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[pytest.TestReport]:
    """Make a skipped test a failed one where the environment says so, as ``.ci/run`` does."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[pytest.CollectReport]:
    """The same for a module that skips itself."""
    report = yield
    _refuse_skip(report)
    return report
