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
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[pytest.TestReport]:
    """Make a skipped test a failed one where the environment says so, as ``.ci/run`` does."""
    report = yield
    _refuse_skip(report)
    if report.failed:
        item.config.stash.setdefault(_FAILED_IN, _turn_of(item))
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[pytest.CollectReport]:
    """The same for a module that skips itself."""
    report = yield
    _refuse_skip(report)
    return report


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have long files begin first, so that none is left for one process at the end."""
    items.sort(key=lambda item: (_turn_of(item), item.get_closest_marker("long") is None))


# -- turns


_ENDED, _FAILED_IN = pytest.StashKey[int](), pytest.StashKey[int]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--turns``, for what has to pass again and again."""
    parser.addoption("--turns", type=int, default=1, help="run all tests so many times in a row")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have each test once a turn; turns follow each other, on what the session has started."""
    turns = metafunc.config.getoption("turns")
    if turns > 1:
        metafunc.fixturenames.append("turn")
        metafunc.parametrize("turn", range(1, turns + 1), scope="session")


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Note the turn whose last test this was."""
    if _turn_of(item) != _turn_of(nextitem):
        item.config.stash[_ENDED] = _turn_of(item)


def _turn_of(item: pytest.Item | None) -> int:
    """Return the turn of a test, counted from 1; 0: there are none."""
    callspec = getattr(item, "callspec", None)
    turn: int = callspec.params.get("turn", 0) if callspec else 0
    return turn


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how many turns have passed before the first that did not."""
    turns = config.getoption("turns")
    if turns > 1:
        passed = min(config.stash.get(_ENDED, 0), config.stash.get(_FAILED_IN, turns + 1) - 1)
        terminalreporter.write_line(f"{passed} of {turns} turns passed")
