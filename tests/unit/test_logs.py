import asyncio
import json
import logging

import pytest

from elastic_jupyter import logs
from tests.support.logs import logging_as_it_was


@pytest.fixture
def configured():
    with logging_as_it_was():
        yield logs.configure


log = logs.get("elastic_jupyter.test")


def test_a_line_is_a_constant_message_and_fields(configured, capsys):
    configured("info")
    log.info("pod created", pod="a", epoch=3, why='says "x" = y', empty="", none=None)
    _, line = capsys.readouterr().err.strip().split(" ", 1)
    assert line == (
        "INFO elastic_jupyter.test pod created "
        r'pod=a epoch=3 why="says \"x\" = y" empty="" none=None'
    )


def test_time_is_utc_with_milliseconds(configured, capsys):
    configured("info")
    log.info("x")
    stamp = capsys.readouterr().err.split(" ")[0]
    assert len(stamp) == len("2026-11-24T18:10:51.123Z")
    assert stamp.endswith("Z")


def test_a_value_cannot_forge_a_line(configured, capsys):
    configured("info")
    log.info("message\nwith break", user="x\n2026 ERROR forged")
    assert capsys.readouterr().err.count("\n") == 1


def test_json_lines_hold_the_same(configured, capsys):
    configured("info", fmt="json")
    with logs.bind(kernel="team/a"):
        log.info("pod created", pod="a", message="not the message")
    line = json.loads(capsys.readouterr().err)
    del line["time"]
    assert line == {
        "level": "INFO",
        "logger": "elastic_jupyter.test",
        "message": "pod created",
        "pod": "a",
        "kernel": "team/a",
    }


@pytest.mark.parametrize("fmt", ["text", "json"])
def test_an_exception_is_shown_with_its_traceback(configured, capsys, fmt):
    configured("info", fmt=fmt)
    try:
        raise ValueError("told")
    except ValueError as error:
        log.error("failed", exc=error)
    assert "ValueError: told" in capsys.readouterr().err


async def test_what_is_bound_holds_for_the_task_and_those_it_starts(configured, capsys):
    configured("info")

    async def child() -> None:
        log.info("child")

    async def parent(name: str) -> None:
        with logs.bind(kernel=name):
            await asyncio.sleep(0)
            log.info("parent")
            with logs.bind(epoch=2):
                await asyncio.create_task(child())

    await asyncio.gather(parent("a"), parent("b"))
    log.info("outside")
    lines = [line.split("test ")[1] for line in capsys.readouterr().err.splitlines()]
    assert sorted(lines) == [
        "child kernel=a epoch=2",
        "child kernel=b epoch=2",
        "outside",
        "parent kernel=a",
        "parent kernel=b",
    ]


def test_extra_of_the_standard_library_is_printed_too(configured, capsys):
    configured("info")
    logging.getLogger("elastic_jupyter.other").info("hello %s", "you", extra={"pod": "a"})
    assert capsys.readouterr().err.strip().endswith("hello you pod=a")


def test_libraries_are_quiet_below_warning(configured, capsys):
    configured("debug")
    logging.getLogger("httpx2").info("GET ...")
    log.debug("ours")
    assert capsys.readouterr().err.count("\n") == 1


def test_an_unknown_level_is_refused(configured):
    with pytest.raises(ValueError, match="loud"):
        configured("loud")
