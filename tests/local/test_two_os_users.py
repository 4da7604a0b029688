"""Two users of the operating system, an ``up`` each: what one can do to the other, and cannot."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.support.everybodys_python import everybodys_python
from tests.support.jupyter_tab import DIRECTLY, Cell, Tab
from tests.support.machine import GATEWAY, NOTEBOOK_SERVER, Machine, a_machine

#: Uids that the machine gives to nobody.
ANN, BOB = 54321, 54322


@dataclass
class Users:
    """The machines of both; ann was the first, so the directory of the leases is hers."""

    ann: Machine
    bob: Machine
    #: For both, up to the name of a command.
    elastic_jupyter: list[str]

    def up(self, machine: Machine) -> None:
        machine.up(command=[*self.elastic_jupyter, *machine.command[1:]])
        machine.log.chmod(0o600)  # has the token, as the terminal of its user does


@pytest.fixture(scope="module")
def users() -> Iterator[Users]:
    # Not below pytest's folder, which is closed to other users.
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    locks = folder / "lock"
    locks.mkdir()
    locks.chmod(0o1777)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        python = stack.enter_context(everybodys_python(folder))
        ann, bob = (
            stack.enter_context(
                a_machine(folder / name, leases=locks / "elastic-jupyter", user=name, uid=uid)
            )
            for name, uid in (("ann", ANN), ("bob", BOB))
        )
        both = Users(ann, bob, [*python, "-m", "elastic_jupyter"])
        both.up(ann)
        both.up(bob)
        yield both


def as_bob(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    """Run a command as bob; what it says is in English."""
    return subprocess.run(
        command,
        user=BOB,
        group=BOB,
        extra_groups=[],
        cwd="/",
        env={"PATH": os.environ["PATH"], "LC_ALL": "C"},
        capture_output=True,
        text=True,
        check=False,
    )


def refused(*command: str | Path) -> None:
    done = as_bob(*command)
    assert done.returncode != 0
    assert "denied" in done.stderr or "not permitted" in done.stderr, done.stderr


def folder_of(machine: Machine, tab: Tab) -> Path:
    [folder] = (machine.state / "kernels").glob(f"*{tab.kernel_id}*")
    return folder


def waits(cell: Cell, *words: str) -> None:
    """Wait until a cell shows these words."""
    cell.until(
        lambda cell: all(word in "".join(cell.displayed[-1:]) for word in words),
        within=20,
        what=str(words),
    )


def test_two_users_take_turns_first_come_first_served(users: Users) -> None:
    first = users.ann.server.open(users.ann.gpu)
    first.run("1", within=60)
    bobs = users.bob.server.open(users.bob.gpu)
    bobs_cell = bobs.start("print('bob')")
    waits(bobs_cell, "1st of 1 in the queue", "stand-in 0 by ann")
    second = users.ann.server.open(users.ann.gpu)
    anns_cell = second.start("print('ann')")
    waits(anns_cell, "2nd of 2 in the queue")
    assert not users.bob.kernel_processes(bobs)
    first.shutdown()
    assert bobs_cell.wait(within=60).stdout == "bob\n"
    waits(anns_cell, "1st of 1 in the queue", "stand-in 0 by bob")
    assert not users.ann.kernel_processes(second)
    bobs.shutdown()
    assert anns_cell.wait(within=60).stdout == "ann\n"
    second.shutdown()


def test_no_secret_of_a_user_is_where_another_can_read(users: Users) -> None:
    ann = users.ann
    with ann.server.notebook() as tab:
        tab.run("1", within=60)
        connection = folder_of(ann, tab) / "connection.json"
        server = ann.service(NOTEBOOK_SERVER)
        environment = Path(f"/proc/{server}/environ").read_bytes().decode().split("\0")
        variables = dict(entry.partition("=")[::2] for entry in environment)
        secrets = [
            (ann.state / "login-token").read_text(),
            json.loads(connection.read_text())["key"],
            variables["JUPYTER_GATEWAY_AUTH_TOKEN"],
        ]
        words = [word for secret in secrets for word in ("-e", secret)]
        search = ["grep", "-rlF", *words, str(ann.root), str(ann.leases)]
        there = subprocess.run(search, capture_output=True, text=True, check=False).stdout
        assert str(connection) in there.splitlines()
        assert as_bob(*search).stdout == ""

        for name in ("objects.db", "master-key", "login-token", "gateway.log", "notebook.log"):
            refused("cat", ann.state / name)
        refused("cat", connection)
        refused("ls", ann.state)
        assert {ann.service(GATEWAY), server} < ann.processes()
        for pid in ann.processes():
            for file in ("environ", "mem"):
                refused("cat", f"/proc/{pid}/{file}")
            refused("ls", f"/proc/{pid}/fd")
            told = as_bob("cat", f"/proc/{pid}/cmdline").stdout
            assert told
            assert [secret for secret in secrets if secret in told] == []


def test_without_a_token_another_user_gets_nothing_of_a_server(users: Users) -> None:
    host, port = users.ann.gateway_address
    for url in (users.ann.url, f"http://{host}:{port}"):
        answer = requests.get(f"{url}/api/kernels", timeout=10, proxies=DIRECTLY)
        assert answer.status_code in (401, 403)


def test_another_user_cannot_take_a_lease_or_a_place_away(users: Users) -> None:
    ann, leases = users.ann, users.ann.leases
    with ann.server.notebook(ann.gpu) as has, ann.server.notebook(ann.gpu) as wants:
        has.run("1", within=60)
        cell = wants.start("print('my turn')")
        waits(cell, "1st of 1 in the queue")
        held = ann.locked()
        [lease] = [name for name in held if name.startswith("lease")]
        [ticket] = [name for name in held if name.startswith("ticket")]
        assert {(leases / name).stat().st_uid for name in (".", lease, ticket)} == {ANN}
        for name in (lease, ticket):
            refused("rm", "-f", leases / name)
            refused("mv", leases / name, leases / f"{name}.old")
            refused("ln", "-sf", "/etc/hostname", leases / name)
        refused("rm", "-rf", leases)
        refused("chmod", "000", leases / lease)
        refused("truncate", "--size", "0", leases / ticket)
        # A ticket that nobody keeps locked is none, whatever it says.
        forged = ticket.replace(ticket.split(",")[2], f"{1:020}")
        assert as_bob("touch", leases / forged).returncode == 0
        # What is written into the file of a GPU is shown, and is no lease.
        assert (
            as_bob("sh", "-c", f"echo '{{\"user\": \"eve\"}}' > '{leases / lease}'").returncode == 0
        )
        with users.bob.server.notebook(users.bob.gpu) as bobs:
            bobs_cell = bobs.start("1")
            waits(bobs_cell, "2nd of 2 in the queue")
            assert not users.bob.kernel_processes(bobs)
            assert set(held) <= set(ann.locked())
            has.shutdown()
            assert cell.wait(within=60).stdout == "my turn\n"
            waits(bobs_cell, "1st of 1 in the queue", "stand-in 0 by ann")
        assert as_bob("rm", "-f", leases / forged).returncode == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            ["--state", "{}"],
            "Invalid value for '--state': Directory '{}' is not readable.",
        ),
        (
            [],
            "this user has no home directory for a state directory: set HOME, or name one with "
            "--state",
        ),
    ],
    ids=["the state directory of another", "no home"],
)
def test_without_a_directory_of_ones_own_it_is_refused(
    options: list[str], says: str, users: Users
) -> None:
    state = str(users.ann.state)
    given = [option.replace("{}", state) for option in options]
    done = as_bob(*users.elastic_jupyter, "up", *given, "/tmp")
    assert done.stderr.endswith(f"Error: {says.replace('{}', state)}\n"), done.stderr
    assert done.returncode == 2
