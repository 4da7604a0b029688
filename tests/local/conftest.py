"""Machines for the tests: ``elastic-jupyter up`` with real kernels. A failed test prints its logs.

Those of the session are shared; who ends something of a machine for good makes one of its own.
"""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.machine import Machine, a_machine

MACHINES = pytest.StashKey[list[Machine]]()


@pytest.fixture(scope="session")
def patient(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Machine]:
    """A machine that reclaims nothing."""
    yield from _up(tmp_path_factory, request, "patient")


@pytest.fixture(scope="session")
def hasty(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Machine]:
    """A machine with two stand-ins that reclaims a kernel after three idle seconds."""
    yield from _up(tmp_path_factory, request, "hasty", idle=3, gpus=2)


@pytest.fixture(scope="session")
def sleepy(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Machine]:
    """A machine with one stand-in whose kernels sleep after three idle seconds."""
    yield from _up(tmp_path_factory, request, "sleepy", idle=3, policy="hibernate")


@pytest.fixture(scope="session")
def lazy(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Machine]:
    """A machine whose kernels start with their first cell."""
    how = {"policy": "hibernate", "start": "on-first-execute"}
    yield from _up(tmp_path_factory, request, "lazy", idle=3600, **how)


@pytest.fixture
def gpus() -> None:
    """Nobody has to be kept from the GPUs: each machine has stand-ins of its own."""


@pytest.fixture
def new_machine(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Machine]]:
    """Make machines that live as long as the test, all of the same GPUs; none is started."""
    with ExitStack() as stack:

        def make(name: str = "one", **options: Any) -> Machine:
            options = {"leases": tmp_path / "leases", **options}
            machine = stack.enter_context(a_machine(tmp_path / name, **options))
            request.node.stash.setdefault(MACHINES, []).append(machine)
            return machine

        yield make


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Make file systems in memory of so many MiB, each an empty folder; gone with the test."""
    made: list[Path] = []

    def make(size: int = 4) -> Path:
        folder = tmp_path / f"disk-{len(made)}"
        folder.mkdir()
        how = f"size={size}m,mode=0700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", how, "tmpfs", folder], check=True)
        made.append(folder)
        return folder

    yield make
    for folder in made:
        subprocess.run(["umount", "--lazy", folder], check=True)


def _up(
    folders: pytest.TempPathFactory, request: pytest.FixtureRequest, name: str, **options: Any
) -> Iterator[Machine]:
    root = folders.mktemp(name)
    with a_machine(root, leases=root / "leases", **options) as machine:
        request.session.stash.setdefault(MACHINES, []).append(machine)
        yield machine.up()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[Any]:
    """Add what the machines have said to the report of what failed."""
    report = yield
    if report.failed:
        machines = item.stash.get(MACHINES, []) + item.session.stash.get(MACHINES, [])
        report.sections += [(f"machine {m.root.name}", m.said + m.logs()) for m in machines]
    return report
