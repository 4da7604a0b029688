import contextlib
import json
import os
import re
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elastic_jupyter.clock import SystemClock
from elastic_jupyter.errors import ConfigError
from elastic_jupyter.local import gpus
from elastic_jupyter.local.gpus import Gpu, Inventory
from elastic_jupyter.local.holders import Holder
from elastic_jupyter.local.leases import GLANCE, SILENCE, Leases
from elastic_jupyter.local.line import Applicant, GpuLine
from elastic_jupyter.local.shared_directory import Look, SharedDirectory
from elastic_jupyter.policy.queue import Place
from tests.support.clock import START, StoppedClock
from tests.support.eventually import eventually
from tests.support.gpu_user import GpuUser
from tests.unit.local.conftest import MEMORY

NOBODY = 65534
#: Of a user that the machine does not know.
SOMEBODY = 54321

as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root may be other users")


def applicant(kernel: str, asked: float = 0, user: str = "ann") -> Applicant:
    return Applicant(kernel, user, START + timedelta(seconds=asked))


class Machine:
    """One machine; each ``up`` is another process's view of it, here within one process."""

    def __init__(self, directory: Path, total: int = 1) -> None:
        self.directory = directory
        self.clock = StoppedClock()
        self.inventory = gpus.inventory(total)
        self.here = self.up()

    def up(self, inventory: Inventory | None = None) -> Leases:
        shared = SharedDirectory(self.directory)
        return Leases(shared, inventory or self.inventory, self.clock)

    def later(self) -> None:
        """Let so much time pass that everybody looks again."""
        self.clock.passed += GLANCE.total_seconds()


class CountedDirectory(SharedDirectory):
    """Counts the files that are looked at."""

    looks = 0

    def look(self, name: str) -> Look | None:
        self.looks += 1
        return super().look(name)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "shared")


@pytest.fixture
def gpu_user(everybodys: Path) -> Iterator[Callable[..., GpuUser]]:
    """Start processes of users on the same machine, its directory in ``everybodys``."""
    with contextlib.ExitStack() as stack:

        def start(user: str, total: int = 1, uid: int | None = None) -> GpuUser:
            return stack.enter_context(GpuUser(everybodys / "shared", total, user, uid))

        yield start


def settled(directory: Path) -> None:
    """Have the last change of the directory long ago."""
    os.utime(directory, ns=(0, 0))


def sees(user: GpuUser, kernel: str, want: list[object]) -> None:
    """Wait until the place of a kernel begins so."""
    eventually(
        lambda: user.ask("place", kernel),
        lambda place: place[: len(want)] == want,
        within=10,
        what=f"the place {want}",
    )


def names(directory: Path) -> list[str]:
    return sorted(name.partition(",")[0] for name in os.listdir(directory))


def test_a_free_gpu_is_leased_and_given_back(machine: Machine) -> None:
    line: GpuLine = machine.here
    ann, bob = applicant("a"), applicant("b", asked=1, user="bob")
    line.enter(ann, 1)
    assert line.place(ann) == Place(1, 1, "")
    lease = line.try_lease(ann)
    assert lease is not None
    assert len(lease.fds) == 1
    assert not os.get_inheritable(lease.fds[0])  # but for those that it is passed to on purpose
    assert machine.here.holders() == [Holder("stand-in 0", "ann", "a", START)]
    line.enter(bob, 1)
    assert line.try_lease(bob) is None
    place = line.place(bob)
    assert (place.position, place.length) == (1, 1)
    assert place.reason.startswith("1 GPU of this machine is in use: stand-in 0 by ann (kernel a)")
    lease.hand_over()
    lease.hand_over()
    assert machine.here.holders() == []
    machine.later()
    assert line.place(bob) == Place(1, 1, "")
    had = line.try_lease(bob)
    assert had is not None
    had.hand_over()
    assert names(machine.directory) == ["lease"]


def test_a_lease_is_held_on_by_who_takes_its_kernel_over(machine: Machine) -> None:
    ann, bob = applicant("a"), applicant("b", asked=1, user="bob")
    machine.here.enter(ann, 1)
    lease = machine.here.try_lease(ann)
    assert lease is not None
    held = machine.up().resume(ann, lease.files)
    lease.hand_over()  # the kernel has closed what it had inherited
    assert machine.here.holders() == [Holder("stand-in 0", "ann", "a", START)]
    machine.here.enter(bob, 1)
    assert machine.here.try_lease(bob) is None
    held.hand_over()
    had = machine.here.try_lease(bob)
    assert had is not None
    # And what is another's by now is not held beside him.
    assert machine.up().resume(ann, lease.files).fds == ()
    had.hand_over()
    assert machine.here.holders() == []


def test_hardware_is_shown_to_its_kernel_and_hidden_from_the_others(machine: Machine) -> None:
    parts = Inventory((Gpu("GPU-a", "GPU 0"), Gpu("MIG-GPU-b/1/0", "GPU 1 slice 0")))
    line = machine.up(parts)
    assert (line.total, line.no_gpu_env) == (2, {"CUDA_VISIBLE_DEVICES": ""})
    ann = applicant("a")
    line.enter(ann, 2)
    lease = line.try_lease(ann)
    assert lease is not None
    assert lease.env == {"CUDA_VISIBLE_DEVICES": "GPU-a,MIG-GPU-b/1/0"}
    assert [holder.gpu for holder in line.holders()] == ["GPU 0", "GPU 1 slice 0"]
    lease.hand_over()


def test_all_users_stand_in_one_line(machine: Machine) -> None:
    first, second = machine.up(), machine.up()
    ann, bob, eve = applicant("a", 2), applicant("b", 1, "bob"), applicant("e", 3, "eve")
    second.enter(eve, 1)
    first.enter(ann, 1)
    second.enter(bob, 1)
    assert first.place(ann) == Place(2, 3, "")
    assert second.place(eve) == Place(3, 3, "")
    assert first.try_lease(ann) is None
    assert second.try_lease(eve) is None
    lease = second.try_lease(bob)
    assert lease is not None
    machine.later()
    assert first.place(ann).position == 1
    lease.hand_over()


def test_who_wants_more_than_is_free_is_not_overtaken(tmp_path: Path) -> None:
    machine = Machine(tmp_path / "shared", total=2)
    one, two, three = applicant("a"), applicant("b", 1, "bob"), applicant("c", 2, "eve")
    for who, amount in ((one, 1), (two, 2), (three, 1)):
        machine.here.enter(who, amount)
    held = machine.here.try_lease(one)
    assert held is not None
    assert machine.here.try_lease(two) is None
    assert machine.here.try_lease(three) is None
    assert len(machine.here.holders()) == 1  # nothing is kept of what was too little
    assert machine.here.place(three).reason.endswith("; the first in the line wants 2")
    held.hand_over()
    both = machine.here.try_lease(two)
    assert both is not None
    assert len(both.gpus) == 2
    both.hand_over()


def test_stand_ins_and_hardware_have_a_line_each(machine: Machine) -> None:
    hardware = machine.up(Inventory((Gpu("GPU-a", "GPU 0"),)))
    ann, bob = applicant("a"), applicant("b", 1, "bob")
    machine.here.enter(ann, 1)
    hardware.enter(bob, 1)
    assert hardware.place(bob) == Place(1, 1, "")
    lease = hardware.try_lease(bob)
    assert lease is not None
    lease.hand_over()


@pytest.mark.parametrize("user", ["u" * 253, "щ" * 253])
def test_a_user_with_a_long_name_waits_as_any(machine: Machine, user: str) -> None:
    first, second = applicant("a", user=user), applicant("b", 1, user)
    for one in (first, second):
        machine.here.enter(one, 1)
    assert machine.here.place(second) == Place(2, 2, "")
    lease = machine.here.try_lease(first)
    assert lease is not None
    assert machine.here.place(second).reason.startswith("1 GPU of this machine is in use")
    lease.hand_over()


def test_entering_and_leaving_twice_is_the_same(machine: Machine) -> None:
    ann = applicant("a")
    machine.here.enter(ann, 1)
    machine.here.enter(ann, 1)
    assert machine.here.place(ann).length == 1
    machine.here.leave(ann)
    machine.here.leave(ann)
    assert names(machine.directory) == []
    with pytest.raises(ValueError, match="kernel a is not in the line"):
        machine.here.place(ann)


def test_one_who_is_stopped_steps_aside_and_comes_back(machine: Machine) -> None:
    stopped, goes_on = machine.up(), machine.up()
    ann, bob = applicant("a"), applicant("b", 1, "bob")
    stopped.enter(ann, 1)
    goes_on.enter(bob, 1)
    machine.clock.passed = SILENCE.total_seconds() - 1
    assert goes_on.place(bob).position == 2
    machine.clock.passed += 2
    assert goes_on.place(bob) == Place(1, 1, "")
    stopped.place(ann)
    machine.later()
    assert goes_on.place(bob) == Place(2, 2, "")


def test_many_who_wait_share_one_look_at_the_line(machine: Machine) -> None:
    directory = CountedDirectory(machine.directory)
    line = Leases(directory, machine.inventory, machine.clock)
    everybody = [applicant(f"k{number}", number) for number in range(50)]
    for one in everybody:
        line.enter(one, 1)
    lease = line.try_lease(everybody.pop(0))
    assert lease is not None
    settled(machine.directory)
    for _ in range(3):
        machine.later()
        directory.looks = 0
        for position, one in enumerate(everybody, 1):
            assert line.try_lease(one) is None
            place = line.place(one)
            assert (place.position, place.length) == (position, 49)
        assert directory.looks < 2 * len(everybody)
    lease.hand_over()


def test_what_was_seen_a_moment_ago_gives_nobody_a_gpu(machine: Machine) -> None:
    other = machine.up()
    ann, bob = applicant("a", 1), applicant("b", 0, "bob")
    machine.here.enter(ann, 1)
    settled(machine.directory)
    assert machine.here.place(ann) == Place(1, 1, "")
    other.enter(bob, 1)
    settled(machine.directory)
    assert machine.here.place(ann).position == 1  # the change is not seen yet
    assert machine.here.try_lease(ann) is None
    machine.later()
    assert machine.here.place(ann) == Place(2, 2, "")


def test_who_leaves_the_line_lets_the_next_one_try_at_once(machine: Machine) -> None:
    other = machine.up()
    ann, bob = applicant("a"), applicant("b", 1, "bob")
    machine.here.enter(ann, 1)
    other.enter(bob, 1)
    settled(machine.directory)
    assert other.place(bob).position == 2
    assert other.try_lease(bob) is None
    machine.here.leave(ann)
    lease = other.try_lease(bob)
    assert lease is not None
    lease.hand_over()


@given(st.data())
def test_whoever_asked_first_is_served_first(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        machine = Machine(Path(folder, "shared"), total=data.draw(st.integers(1, 3), label="GPUs"))
        views = [machine.up(), machine.up()]
        moments = data.draw(st.lists(st.integers(0, 5), max_size=6), label="asked at")
        everybody = {}
        for number, asked in enumerate(moments):
            who = applicant(f"k{number}", asked, user=f"u{number % 3}")
            amount = data.draw(st.integers(1, machine.here.total))
            view = data.draw(st.sampled_from(views))
            view.enter(who, amount)
            everybody[who.kernel] = (who, view, amount)
        served = []
        want = sorted(everybody.values(), key=lambda one: (one[0].asked_at, one[0].user))
        while everybody:
            machine.later()
            shuffled = data.draw(st.permutations(sorted(everybody)))
            places = {key: everybody[key][1].place(everybody[key][0]) for key in shuffled}
            assert sorted(place.position for place in places.values()) == [
                *range(1, len(places) + 1)
            ]
            for key in shuffled:
                who, view, amount = everybody[key]
                lease = view.try_lease(who)
                assert (lease is not None) == (places[key].position == 1)
                if lease is not None:
                    assert len(lease.gpus) == amount
                    lease.hand_over()
                    served.append(everybody.pop(key))
                    break
        assert [one[0].asked_at for one in served] == [one[0].asked_at for one in want]


def test_a_line_whose_files_were_removed_is_stood_in_again(machine: Machine) -> None:
    other = machine.up()
    ann, bob = applicant("a"), applicant("b", 1, "bob")
    machine.here.enter(ann, 1)
    other.enter(bob, 1)
    shutil.rmtree(machine.directory)
    assert machine.here.place(ann).position == 1
    assert other.place(bob) == Place(2, 2, "")


def test_what_others_put_into_the_directory_stops_nobody(machine: Machine) -> None:
    for name in ("x", "ticket,stand-in,1,k,1,00", "ticket,stand-in,now,k,1,00"):
        (machine.directory / name).write_text("")
    (machine.directory / "ticket,stand-in,2,k,1,00").mkdir()
    (machine.directory / "ticket,stand-in,3,k,1,00").symlink_to("x")
    (machine.directory / "lease,stand-in%200").write_text("[1")
    ann = applicant("a")
    machine.here.enter(ann, 1)
    assert machine.here.place(ann) == Place(1, 1, "")
    lease = machine.here.try_lease(ann)
    assert lease is not None
    lease.hand_over()


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_no_clock_here_shows_stops_nobody(machine: Machine, since: str) -> None:
    ann, bob = applicant("a"), applicant("b", 1, "bob")
    machine.here.enter(ann, 1)
    lease = machine.here.try_lease(ann)
    assert lease is not None
    [file] = machine.directory.glob("lease*")
    file.write_text(json.dumps({"user": "ann", "since": since}))
    machine.here.enter(bob, 1)
    reason = machine.here.place(bob).reason
    assert reason == "1 GPU of this machine is in use: stand-in 0 by ann"
    lease.hand_over()


def _linked(path: Path) -> None:
    path.symlink_to("/etc/passwd")


@pytest.mark.parametrize("make", [_linked, os.mkfifo, Path.mkdir])
def test_one_gpu_whose_file_is_unusable_counts_as_taken_and_is_named(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    machine = Machine(tmp_path / "shared", total=2)
    make(machine.directory / "lease,stand-in%200")
    ann, bob = applicant("a"), applicant("b", 1, "bob")
    machine.here.enter(ann, 1)
    lease = machine.here.try_lease(ann)
    assert lease is not None
    assert [gpu.label for gpu in lease.gpus] == ["stand-in 1"]
    machine.here.enter(bob, 2)
    assert machine.here.try_lease(bob) is None
    assert re.fullmatch(
        r"2 GPUs of this machine are in use: stand-in 0, which cannot be leased "
        r"\(/\S+/lease,stand-in%200: it is \D+\), stand-in 1 by ann \(kernel a\) since .*",
        machine.here.place(bob).reason,
    )
    lease.hand_over()


@as_root
@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_one_gpu_whose_file_another_user_keeps_counts_as_taken_and_is_named(
    gpu_user: Callable[..., GpuUser], everybodys: Path, mode: int
) -> None:
    ann = gpu_user("ann", total=2, uid=NOBODY)
    ann.ask("enter", "a", 1, 0)
    kept = everybodys / "shared" / "lease,stand-in%200"
    kept.touch()
    kept.chmod(mode)
    assert ann.ask("lease", "a") == ["stand-in 1"]
    ann.ask("enter", "b", 1, 1)
    assert ann.ask("lease", "b") is None
    said = f"stand-in 0, which cannot be leased ({kept}: Permission denied)"
    assert said in ann.ask("place", "b")[2]


def test_a_killed_process_frees_its_gpu_and_its_place(
    gpu_user: Callable[..., GpuUser],
) -> None:
    ann, bob, eve = gpu_user("ann"), gpu_user("bob"), gpu_user("eve")
    for number, (user, name) in enumerate(((ann, "a"), (bob, "b"), (eve, "e"))):
        user.ask("enter", name, 1, number)
    assert ann.ask("lease", "a") == ["stand-in 0"]
    assert eve.ask("place", "e")[:2] == [2, 2]
    bob.kill()
    sees(eve, "e", [1, 1])
    assert eve.ask("lease", "e") is None
    ann.kill()
    assert eve.ask("lease", "e") == ["stand-in 0"]


def test_a_lease_lives_as_long_as_a_process_that_inherited_it(
    gpu_user: Callable[..., GpuUser],
) -> None:
    ann, bob = gpu_user("ann"), gpu_user("bob")
    ann.ask("enter", "a", 1, 0)
    ann.ask("lease", "a")
    kernel = ann.ask("spawn", "a")
    try:
        bob.ask("enter", "b", 1, 1)
        ann.ask("give_back", "a")
        assert bob.ask("lease", "b") is None
        ann.kill()
        assert bob.ask("lease", "b") is None
        assert "stand-in 0 by ann (kernel a)" in bob.ask("place", "b")[2]
    finally:
        os.kill(kernel, signal.SIGKILL)
    eventually(
        lambda: bob.ask("lease", "b"), lambda had: had == ["stand-in 0"], within=10, what="the GPU"
    )


def test_without_space_for_a_byte_a_lease_counts_and_does_not_say_whose_it_is(
    gpu_user: Callable[..., GpuUser],
) -> None:
    ann, bob = gpu_user("ann"), gpu_user("bob")
    ann.ask("write_no_byte")
    ann.ask("enter", "a", 1, 0)
    assert ann.ask("lease", "a") == ["stand-in 0"]
    bob.ask("enter", "b", 1, 1)
    assert bob.ask("lease", "b") is None
    reason = "1 GPU of this machine is in use: stand-in 0 by somebody"
    assert bob.ask("place", "b") == [1, 1, reason]


@as_root
def test_two_users_of_the_machine_never_have_the_same_gpu(
    gpu_user: Callable[..., GpuUser], everybodys: Path
) -> None:
    ann, bob = gpu_user("ann", uid=NOBODY), gpu_user("bob", uid=SOMEBODY)
    ann.ask("enter", "a", 1, 0)
    bob.ask("enter", "b", 1, 1)
    assert (everybodys / "shared").stat().st_uid in (NOBODY, SOMEBODY)
    assert bob.ask("lease", "b") is None
    assert ann.ask("lease", "a") == ["stand-in 0"]
    sees(bob, "b", [1, 1])
    assert bob.ask("lease", "b") is None
    eventually(
        lambda: bob.ask("place", "b")[2],
        lambda reason: "stand-in 0 by ann (kernel a)" in reason,
        within=10,
        what="whose it is",
    )
    ann.kill()
    assert bob.ask("lease", "b") == ["stand-in 0"]
    [lease] = (everybodys / "shared").glob("lease*")
    assert (lease.stat().st_uid, json.loads(lease.read_text())["user"]) == (NOBODY, "bob")


@as_root
def test_a_place_that_is_closed_to_a_user_is_told(everybodys: Path) -> None:
    (everybodys / "shared").mkdir(mode=0o755)
    os.seteuid(NOBODY)
    try:
        with pytest.raises(ConfigError, match=r"this user cannot .* there; .* \(mode 1777\)"):
            SharedDirectory(everybodys / "shared")
    finally:
        os.seteuid(0)


def test_no_gpu_is_leased_twice_by_many_processes(
    gpu_user: Callable[..., GpuUser], everybodys: Path
) -> None:
    marks = everybodys / "marks"
    marks.mkdir(mode=0o1777)
    marks.chmod(0o777)
    rivals = [gpu_user(f"user{number}", total=2) for number in range(20)]
    started = time.monotonic()
    for rival in rivals:
        rival.tell("race", 50, str(marks))
    times = [one for rival in rivals for one in rival.answer()]
    assert len(times) == 1000
    print(f"1000 leases in {time.monotonic() - started:.1f} s")
    line = Leases(SharedDirectory(everybodys / "shared"), gpus.inventory(2), SystemClock())
    assert line.holders() == []
    assert names(everybodys / "shared") == ["lease", "lease"]
