"""A crash, or a full disk, at each step of a kernel's sleep and of its wake.

Every fifth case among the other tests, all with ``make crashes`` (``ALL_CASES``).
"""

import asyncio
import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from elastic_jupyter.store.protocol import Key
from elastic_jupyter.store.sqlite import SqliteKernelStore, open_database
from tests.scenarios.crashes import DIES_SAVED, WITHIN, Crash, Patient, both, some
from tests.scenarios.gpu_queue import phase
from tests.support.eventually import eventually
from tests.support.invariants import damaged, unsettled, watched
from tests.support.machine import NAMESPACE, READY_WITHIN, Machine, a_machine

FAILPOINTS = Path(__file__).parents[1] / "support" / "failpoints"
SETTLED_WITHIN = 30.0


SLEEP = [
    Crash("gateway", "_DiskDraft._append", do="fill"),
    *both("gateway", "SqliteKernelStore.wish"),
    *both("gateway", "BlobDraft.commit"),
    *both("gateway", "Save.seal"),
    *both("gateway", "SqliteKernelStore.save"),
    *both("gateway", "SnapshotStore.sweep"),
    *both("machine", "SqliteKernelStore.patch_status"),
    *both("machine", "Maker.end"),
    *both("kernel", "Gateway.put", loses=True),
    Crash("kernel", "Gateway.put_manifest", loses=True),
    DIES_SAVED,
]
WAKE = [
    *both("gateway", "SqliteKernelStore.wish"),
    *both("gateway", "SnapshotStore.manifest"),
    *both("gateway", "SqliteKernelStore.save"),
    *both("machine", "SqliteKernelStore.patch_status"),
    *both("machine", "Maker.make"),
    *both("kernel", "Gateway.get_manifest"),
    *both("kernel", "Gateway.read_into"),
]


class OnOneMachine(Patient):
    """A kernel of a machine whose kernels sleep when they are asked to."""

    def __init__(self, machine: Machine, file: Path) -> None:
        self.machine, self.file = machine, file
        self.start()
        self.tab = machine.server.open()

    def start(self) -> None:
        path = os.pathsep.join(filter(None, (str(FAILPOINTS), os.environ.get("PYTHONPATH"))))
        self.machine.up(env={"PYTHONPATH": path, "FAILPOINT": str(self.file)})

    def goes_to_sleep(self) -> None:
        kernel = self.machine.kernel(self.tab)
        assert kernel is not None
        asyncio.run(self._suspend(kernel["metadata"]))

    async def _suspend(self, metadata: dict[str, str]) -> None:
        database = open_database(self.machine.state / "objects.db")
        with contextlib.closing(database):
            store = SqliteKernelStore(database)
            await store.wish(Key(NAMESPACE, metadata["name"]), uid=metadata["uid"], suspend=True)

    def sleeps(self) -> None:
        eventually(
            lambda: (phase(self.machine, self.tab), self.machine.placed([self.tab])),
            lambda seen: seen == ("Hibernated", 0),
            within=WITHIN,
            what="sleep",
        )

    def fails_at(self, crash: Crash) -> None:
        self.file.with_suffix(".json.had").unlink(missing_ok=True)
        said = {"point": crash.point, "when": crash.when, "do": crash.do}
        draft = self.file.with_suffix(".draft")
        draft.write_text(json.dumps(said))
        draft.rename(self.file)

    def has_failed(self, crash: Crash) -> None:
        """Wait for the trouble, and restart what nobody else would."""
        eventually(self.file.with_suffix(".json.had").exists, bool, within=WITHIN, what=str(crash))
        if crash.victim == "machine":
            assert self.machine.process is not None
            self.machine.process.wait(READY_WITHIN)
            self.start()
            seen = f"kernels/{self.tab.kernel_id}"
            eventually(
                lambda: self.machine.server.look(seen),
                lambda seen: isinstance(seen, dict),
                within=READY_WITHIN,
                what="the kernel at the new notebook server",
            )
            self.tab.reconnect()
        self.machine.gateway_answers()


@pytest.fixture(scope="module")
def on_one_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnOneMachine]:
    root = tmp_path_factory.mktemp("crashes")
    how = {"idle": 3600, "policy": "hibernate"}
    with a_machine(root, leases=root / "leases", **how) as machine:
        yield OnOneMachine(machine, root / "failpoint.json")


@pytest.fixture
def patient(on_one_machine: OnOneMachine) -> OnOneMachine:
    on_one_machine.counts_anew()
    return on_one_machine


@contextlib.contextmanager
def nothing_doubled(patient: OnOneMachine) -> Iterator[None]:
    """See that no two incarnations run, and that at the end all is right."""
    with watched(patient.machine) as found:
        yield
        eventually(
            lambda: unsettled(patient.machine),
            lambda wrong: not wrong,
            within=SETTLED_WITHIN,
            what="a machine on which all is right",
        )
    assert not found
    assert damaged(patient.machine) == []


@pytest.mark.parametrize("crash", some(SLEEP))
def test_a_kernel_that_was_to_sleep_has_its_variables(patient: OnOneMachine, crash: Crash) -> None:
    with nothing_doubled(patient):
        patient.fails_at(crash)
        patient.is_to_sleep(crash)
        patient.has_failed(crash)
        if crash == DIES_SAVED:  # a cell before its end is seen would cancel the save
            patient.sleeps()
        patient.knows_the_count(crash)
        patient.goes_on()


@pytest.mark.parametrize("crash", some(WAKE))
def test_a_kernel_that_was_to_wake_has_its_variables(patient: OnOneMachine, crash: Crash) -> None:
    with nothing_doubled(patient):
        patient.goes_to_sleep()
        patient.sleeps()
        patient.fails_at(crash)
        cell = patient.tab.start("count")
        patient.has_failed(crash)
        patient.knows_the_count(crash, None if crash.victim == "machine" else cell)
        patient.goes_on()
