"""Rules for all tests."""

import os
from collections import Counter
from collections.abc import Iterator

import hypothesis
import pytest

# How long a case takes says something about the machine, not about the code.
hypothesis.settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("untimed")

#: What a report's property is called that says of which turn it is.
_TURN = "turn"
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


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have long files begin first, so that none is left for one process at the end."""
    items.sort(key=lambda item: (_turn_of(item), item.get_closest_marker("long") is None))


# -- turns


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--turns``, for what has to pass again and again."""
    parser.addoption("--turns", type=int, default=1, help="run all tests so many times in a row")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have each test once a turn; turns follow each other, on what the session has started."""
    turns = metafunc.config.getoption("turns")
    if turns > 1:
        metafunc.fixturenames.append("turn")
        metafunc.parametrize("turn", range(1, turns + 1), scope="session")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Have reports say which turn they are of, and of how many tests."""
    tests = Counter(_turn_of(item) for item in session.items)
    for item in session.items:
        turn = _turn_of(item)
        item.user_properties.append((_TURN, (turn, tests[turn])))


def _turn_of(item: pytest.Item) -> int:
    """Return the turn of a test, counted from 1; 0: there are none."""
    callspec = getattr(item, "callspec", None)
    turn: int = callspec.params.get("turn", 0) if callspec else 0
    return turn


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how many turns have passed as a whole, also of those that were cut short."""
    turns = config.getoption("turns")
    if turns > 1:
        passed = Counter(_turn_told(one) for one in terminalreporter.getreports("passed"))
        bad = {
            _turn_told(one)[0]
            for how in ("failed", "error")
            for one in terminalreporter.getreports(how)
        }
        whole = [
            turn for (turn, tests), count in passed.items() if count == tests and turn not in bad
        ]
        terminalreporter.write_line(f"{len(whole)} of {turns} turns passed")


def _turn_told(report: pytest.TestReport) -> tuple[int, int]:
    """Return the turn of a report and how many tests it has; 0, 0 where it does not know."""
    turn, tests = dict(getattr(report, "user_properties", ())).get(_TURN, (0, 0))
    return turn, tests
