"""The commands on kernels, on a real database, as a person types them."""

import asyncio
import fcntl
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.cli import kernels, terminal
from elastic_jupyter.cli.main import command
from elastic_jupyter.cli.screen import Screen, keep_showing
from elastic_jupyter.errors import NotFound, Unavailable
from elastic_jupyter.store.protocol import KernelStore, Key, Tombstones
from elastic_jupyter.store.sqlite import (
    SqliteKernelStore,
    SqliteTombstones,
    log_file,
    open_database,
)
from elastic_jupyter.store.state_directory import lock
from elastic_jupyter.store.stores import LOCAL, opened, sqlite_url
from tests.support.kernels import a_kernel
from tests.support.objects import until

COMMAND = (sys.executable, "-m", "elastic_jupyter")
IDS = ("11aa-running", "11ab-queued", "22-new")
RUNNING, QUEUED, NEW = IDS
SLEEPING = "33-sleeping"


def now(**later: float) -> datetime:
    return datetime.now(UTC) + timedelta(**later)


def statuses() -> dict[str, Any]:
    return {
        RUNNING: {
            "phase": "Running",
            "epoch": 2,
            "conditions": [
                {
                    "type": "Running",
                    "status": "True",
                    "reason": "Started",
                    "lastTransitionTime": now(hours=-1).isoformat(),
                }
            ],
            "activity": {
                "lastActivity": now(minutes=-3).isoformat(),
                "busy": False,
                "reclaimAt": now(minutes=7).isoformat(),
            },
        },
        QUEUED: {
            "phase": "Queued",
            "queue": {"position": 1, "length": 1, "reason": "no GPU is free"},
        },
    }


class Machine:
    """A state directory with kernels in its database, and the command on it."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.database = state / "objects.db"

    def __call__(self, *arguments: str, **more: Any) -> Result:
        """Run ``elastic-jupyter``; ``more`` is for click's runner."""
        env = {"ELASTIC_JUPYTER_STORE": sqlite_url(self.database)}
        return CliRunner().invoke(command, list(arguments), env=env, **more)

    def on_store(self, work: Callable[[KernelStore], Any]) -> Any:
        with closing(open_database(self.database)) as database:
            return asyncio.run(work(SqliteKernelStore(database)))

    def kernel(self, kernel_id: str) -> JupyterKernel:
        found = self.on_store(lambda store: store.get(key_of(kernel_id)))
        assert isinstance(found, JupyterKernel)
        return found

    def fill(self) -> None:
        async def fill() -> None:
            known = statuses()
            for kernel_id in IDS:
                obj = a_kernel(
                    key_of(kernel_id).name,
                    gpus=1,
                    kernelID=kernel_id,
                    user="ann",
                    notebookRef={"namespace": LOCAL, "name": "notebook", "uid": "u"},
                )
                obj["metadata"] = {"namespace": LOCAL, "name": key_of(kernel_id).name}
                created = await store.create(JupyterKernel.model_validate(obj))
                if kernel_id in known:
                    version = created.metadata.resource_version or ""
                    await store.patch_status(key_of(kernel_id), known[kernel_id], version=version)
            await SqliteTombstones(database, LOCAL).put(SLEEPING, tombstone())

        with closing(open_database(self.database)) as database:
            store = SqliteKernelStore(database)
            asyncio.run(fill())


def key_of(kernel_id: str) -> Key:
    return Key(LOCAL, f"ann-{kernel_id}")


def tombstone() -> dict[str, Any]:
    return {
        "name": key_of(SLEEPING).name,
        "spec": "gpu",
        "user": "ann",
        "notebook": {"namespace": LOCAL, "name": "notebook", "uid": "u"},
        "env": {},
        "template": a_kernel(gpus=1)["spec"]["template"],
        "sessions": [],
        "usage": {"used": 7200, "givenBack": 0, "asleepSince": now(hours=-3).isoformat()},
        "reason": "",
        "at": now(hours=-3).isoformat(),
        "lastExecution": now(hours=-4).isoformat(),
        "epoch": 1,
    }


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path)
    machine.fill()
    return machine


def test_status_shows_every_kernel(machine: Machine) -> None:
    result = machine("status")
    assert result.exit_code == 0, result.output
    head, *lines = result.stdout.splitlines()
    assert head.startswith("KERNEL")
    said = {line.split()[0]: line for line in lines}
    assert set(said) == {"11aa-run", "11ab-que", "22-new", "33-sleep"}
    for words in (("11aa-run", "Running", "3 min", "1.00"), ("11ab-que", "Queued (1st of 1)")):
        assert [word for word in words if word not in said[words[0]]] == []
    assert said["33-sleep"].split()[-2:] == ["2.00", "3.00"]


@pytest.mark.parametrize(("fmt", "read"), [("json", json.loads), ("yaml", yaml.safe_load)])
def test_a_program_reads_the_same(machine: Machine, fmt: str, read: Callable[[str], Any]) -> None:
    result = machine("status", "--output", fmt)
    assert result.exit_code == 0, result.output
    by_id = {one["id"]: one for one in read(result.stdout)}
    assert by_id.keys() == {*IDS, SLEEPING}
    assert by_id[RUNNING]["phase"] == "Running"
    assert by_id[RUNNING]["gpuHoursUsed"] == pytest.approx(1, abs=0.1)
    assert by_id[SLEEPING]["gpuHoursGivenBack"] == pytest.approx(3, abs=0.1)


async def test_a_watch_shows_what_changes_until_it_is_interrupted(machine: Machine) -> None:
    process = await asyncio.create_subprocess_exec(
        *("env", "--default-signal=INT"),  # who runs this may ignore it, as a script with nohup
        *COMMAND,
        *("status", "--watch", "--store", sqlite_url(machine.database)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout
    assert process.stderr

    async def line_with(word: str) -> str:
        while word not in (line := (await process.stdout.readline()).decode()):
            assert line, "it ended"
        return line

    try:
        async with asyncio.timeout(60), opened(sqlite_url(machine.database)) as team:
            assert "Running" in await line_with("11aa")
            uid = (await team.kernels.get(key_of(RUNNING))).metadata.uid or ""
            await team.kernels.wish(key_of(RUNNING), uid=uid, suspend=True)
            while "released" not in await line_with("11aa"):
                pass
            await team.kernels.delete(key_of(RUNNING), uid=uid)
            shown = ""
            while "11aa" in shown or "22-new" not in shown:
                await line_with("KERNEL")
                shown = "".join([(await process.stdout.readline()).decode() for _ in range(3)])
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 130
            assert await process.stderr.read() == b""
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("11aa", "is Running. It runs since"),
        ("ann-11aa", "is Running. It runs since"),
        ("11ab", "is Queued. Waiting for a GPU: 1st of 1 in the queue. no GPU is free"),
        ("22", "is New. It was asked for"),
        ("33", "is Reclaimed. It was reclaimed at"),
    ],
)
def test_why(machine: Machine, word: str, told: str) -> None:
    result = machine("why", word)
    assert result.exit_code == 0, result.output
    assert told in result.stdout
    program = json.loads(machine("why", word, "-o", "json").stdout)
    assert program["why"] in result.stdout


def test_a_terminal_gets_whole_words_and_its_width(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal, "width", lambda: 60)
    lines = machine("why", "11aa").stdout.splitlines()
    assert " ".join(lines).startswith(f"kernel {RUNNING} is Running. It runs since")
    assert len(lines) > 1
    assert max(map(len, lines)) <= 60


def test_what_is_watched_in_yaml_is_a_document_each_time(machine: Machine) -> None:
    process = subprocess.Popen(
        [*COMMAND, "status", "-w", "-o", "yaml", "--store", sqlite_url(machine.database)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout
        assert process.stdout.readline() == "---\n"
        assert process.stdout.readline().startswith("- id: ")
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("fmt", "read"), [("json", json.loads), ("yaml", yaml.safe_load)], ids=["json", "yaml"]
)
async def test_a_program_that_watches_gets_a_document_for_each_change_and_no_other(
    machine: Machine,
    capsys: pytest.CaptureFixture[str],
    fmt: str,
    read: Callable[[str], Any],
) -> None:
    screen = Screen(fmt)
    async with opened(sqlite_url(machine.database)) as team:
        for _ in range(3):
            screen.show(await kernels.all_of(team))
        uid = (await team.kernels.get(key_of(RUNNING))).metadata.uid or ""
        await team.kernels.wish(key_of(RUNNING), uid=uid, suspend=True)
        for _ in range(3):
            screen.show(await kernels.all_of(team))
    said = capsys.readouterr().out
    documents = said.splitlines() if fmt == "json" else said.split("---\n")[1:]
    by_id = [{one["id"]: one for one in read(text)} for text in documents]
    assert [one.keys() for one in by_id] == [{*IDS, SLEEPING}] * 2
    assert [one[RUNNING]["suspend"] for one in by_id] == [False, True]


class OnceUnreadable:
    """Tombstones of a server that does not answer the first time."""

    def __init__(self, tombstones: Tombstones) -> None:
        self._tombstones = tombstones
        self._answers = False

    async def load(self) -> dict[str, dict[str, Any]]:
        if self._answers:
            return await self._tombstones.load()
        self._answers = True
        raise Unavailable("no answer")


async def test_a_watch_says_what_it_cannot_read_and_goes_on(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    said, wrong = [], []

    def shown() -> bool:
        out, err = capsys.readouterr()
        said.append(out)
        wrong.append(err)
        return SLEEPING in "".join(said)

    async with opened(sqlite_url(machine.database)) as team:
        unsure = replace(team, tombstones=OnceUnreadable(team.tombstones))
        watch = asyncio.create_task(keep_showing(unsure, Screen("json")))
        try:
            await until(lambda: shown() or wrong[-1] != "")
            uid = (await team.kernels.get(key_of(NEW))).metadata.uid or ""
            await team.kernels.wish(key_of(NEW), uid=uid, suspend=True)
            await until(shown)
            assert not watch.done()
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
    assert "".join(wrong) == "not up to date: no answer\n"


def test_extend_keeps_a_kernel_for_so_much_longer(machine: Machine) -> None:
    result = machine("extend", "11aa", "1h30m")
    assert result.exit_code == 0, result.output
    kept = machine.kernel(RUNNING).spec.keep_until
    assert kept is not None
    assert abs(kept - now(hours=1, minutes=37)) < timedelta(minutes=1)
    assert "is kept until" in result.stdout
    assert "by request" in machine("why", "11aa").stdout


def test_release_is_a_wish(machine: Machine) -> None:
    result = machine("release", "11ab")
    assert result.exit_code == 0, result.output
    assert machine.kernel(QUEUED).spec.suspend is True
    assert "to be released" in machine("why", "11ab").stdout
    assert machine.kernel(RUNNING).spec.suspend is None


def test_stop_takes_the_object_away(machine: Machine) -> None:
    result = machine("stop", "22")
    assert result.exit_code == 0, result.output
    with pytest.raises(NotFound):
        machine.kernel(NEW)
    assert machine.kernel(RUNNING)


LINES = [f"line {number} ä\n" for number in range(20_000)]


@pytest.mark.parametrize(
    ("arguments", "want"),
    [
        pytest.param([], LINES, id="all of it"),
        pytest.param(["--tail", "3"], LINES[-3:], id="the last three lines"),
        pytest.param(["--tail", "0"], [], id="nothing"),
        pytest.param(["--tail", "12000"], LINES[-12000:], id="more than is read at once"),
        pytest.param(["--tail", "99999"], LINES, id="more than there are"),
    ],
)
def test_logs(machine: Machine, arguments: list[str], want: list[str]) -> None:
    log = log_file(machine.state, machine.kernel(RUNNING))
    log.parent.mkdir(parents=True)
    log.write_text("".join(LINES))
    result = machine("logs", "11aa", *arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout_bytes.decode() == "".join(want)


def test_the_log_of_an_incarnation_is_where_its_process_writes(machine: Machine) -> None:
    path = log_file(machine.state, machine.kernel(RUNNING))
    assert path == machine.state / "kernels" / f"ann-{RUNNING}-2" / "kernel.log"


async def test_a_log_that_is_followed_ends_with_its_kernel(machine: Machine) -> None:
    seen = bytearray()
    async with opened(sqlite_url(machine.database)) as team:
        kernel = await team.kernels.get(key_of(RUNNING))
        log = log_file(machine.state, kernel)
        log.parent.mkdir(parents=True)
        log.write_text("before\nnow\n")

        async def follow() -> None:
            async for piece in team.logs.read(kernel, follow=True, tail=1):
                seen.extend(piece)

        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            group.create_task(follow())
            await until(lambda: b"now" in seen)
            with log.open("a") as more:
                more.write("later\n")
            await team.kernels.delete(key_of(RUNNING), uid=kernel.metadata.uid or "")
    assert bytes(seen) == b"now\nlater\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["why", "11a"], "'11a' may be any of these kernels:", id="an ambiguous name"),
        pytest.param(["why", "x"], "there is no kernel 'x'; there are:", id="a wrong name"),
        pytest.param(["release", "33"], "is Reclaimed, there is nothing to release", id="asleep"),
        pytest.param(["extend", "33", "1h"], "there is nothing to extend", id="asleep, extend"),
        pytest.param(["stop", "33"], "there is nothing to stop", id="asleep, stop"),
        pytest.param(["logs", "33"], "there is nothing to read", id="asleep, logs"),
        pytest.param(["logs", "22"], "has no log yet", id="no log"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_sentence(
    machine: Machine, arguments: list[str], told: str
) -> None:
    result = machine(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: ")
    assert told in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["why"], "Missing argument 'KERNEL'"),
        (["extend", "11aa"], "Missing argument 'DURATION'"),
        (["extend", "11aa", "soon"], "'soon' is no length of time"),
        (["extend", "11aa", "3000000d"], "longer than any calendar"),
        (["status", "--output", "xml"], "'xml' is not one of"),
        (["logs", "11aa", "--tail", "-1"], "--tail"),
        (["nonsense"], "No such command 'nonsense'"),
    ],
)
def test_wrong_usage_is_status_2(machine: Machine, arguments: list[str], told: str) -> None:
    result = machine(*arguments)
    assert result.exit_code == 2
    assert told in result.stderr


def test_that_no_up_runs_is_said_beside_what_is_shown(machine: Machine) -> None:
    with lock(machine.state).open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert machine("status").stderr == ""
    result = machine("release", "11aa")
    assert result.exit_code == 0
    assert "elastic-jupyter up does not run" in result.stderr
    assert "gives its resources back" in result.stdout


def test_a_database_that_is_none_is_told(machine: Machine) -> None:
    machine.database.write_text("no database at all, but long enough to be looked at")
    result = machine("status")
    assert result.exit_code == 1
    assert "it is no database" in result.stderr


@pytest.mark.parametrize(
    ("typed", "want"),
    [
        ("11", {RUNNING, QUEUED}),
        ("", {*IDS, SLEEPING}),
        ("ann-11a", {key_of(RUNNING).name, key_of(QUEUED).name}),
        ("x", set()),
    ],
)
def test_a_shell_completes_the_names_of_kernels(
    machine: Machine, typed: str, want: set[str]
) -> None:
    words = f"elastic-jupyter why {typed}"
    env = {
        "_ELASTIC_JUPYTER_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": "2",
    }
    result = CliRunner().invoke(
        command,
        prog_name="elastic-jupyter",
        env={**env, "ELASTIC_JUPYTER_STORE": sqlite_url(machine.database)},
    )
    assert {line.partition(",")[2] for line in result.stdout.split()} == want


def test_a_shell_gets_no_names_from_a_store_that_is_not_there() -> None:
    env = {
        "_ELASTIC_JUPYTER_COMPLETE": "bash_complete",
        "COMP_WORDS": "elastic-jupyter why ",
        "COMP_CWORD": "2",
        "ELASTIC_JUPYTER_STORE": "sqlite:///no/such/objects.db",
    }
    result = CliRunner().invoke(command, prog_name="elastic-jupyter", env=env)
    assert result.stdout.split() == []


@pytest.mark.parametrize("output", ["table", "json"])
def test_what_is_remembered_of_kernels_and_unreadable_hides_no_other(
    machine: Machine, output: str
) -> None:
    whole = tombstone()
    odd: dict[str, Any] = {
        "no-fields": {"name": "odd"},
        "template": {**whole, "template": "text"},
        "session": {**whole, "sessions": ["text"]},
        "sessions": {**whole, "sessions": 1},
        "notebook": {**whole, "notebook": "text"},
        "user": {**whole, "user": 1},
        "reason": {**whole, "reason": []},
        "no-zone": {**whole, "lastExecution": "2026-01-01T12:00:00"},
        "no-time": {**whole, "lastExecution": 7},
    }

    async def put(tombstones: SqliteTombstones) -> None:
        for name, content in odd.items():
            await tombstones.put(f"44-{name}", content)

    with closing(open_database(machine.database)) as database:
        asyncio.run(put(SqliteTombstones(database, LOCAL)))
    result = machine("status", "-o", output)
    assert result.exit_code == 0, result.output
    assert SLEEPING[:8] in result.stdout
    assert "44-" not in result.stdout
    assert result.stderr.splitlines()[-1] == (
        "what is remembered of these kernels is unreadable, and they are not shown: "
        + ", ".join(sorted(f"44-{name}" for name in odd))
    )
