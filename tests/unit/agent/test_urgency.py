"""A kernel that restores much leaves the processors to others' cells meanwhile."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from elastic_jupyter_agent import urgency
from tests.support.eventually import eventually

ROOT = Path(__file__).parents[3]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What stands for the process' own file, as Linux fills it."""
    file = tmp_path / "autogroup"
    file.write_bytes(b"/autogroup-7 nice 0\n")
    monkeypatch.setattr(urgency, "_OWN", str(file))
    return file


def test_it_is_less_urgent_until_all_is_back(own: Path) -> None:
    with urgency.less_urgent(urgency.MUCH):
        assert own.read_bytes() == b"5"
    assert own.read_bytes() == b"0"


def test_it_is_as_urgent_as_before_when_nothing_comes_back(own: Path) -> None:
    with pytest.raises(OSError, match="the store"), urgency.less_urgent(urgency.MUCH):
        raise OSError("the store")
    assert own.read_bytes() == b"0"


@pytest.mark.parametrize(
    ("size", "niceness"),
    [(urgency.MUCH - 1, "0"), (urgency.MUCH, "7"), (urgency.MUCH, "-5")],
    ids=["little", "less urgent anyway", "more urgent by its user's wish"],
)
def test_nothing_changes_for_little_or_where_somebody_has_chosen(
    own: Path, size: int, niceness: str
) -> None:
    own.write_text(f"/autogroup-7 nice {niceness}\n")
    with urgency.less_urgent(size):
        assert own.read_text() == f"/autogroup-7 nice {niceness}\n"
    assert own.read_text() == f"/autogroup-7 nice {niceness}\n"


def test_a_change_that_comes_too_soon_is_made_again(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, written = urgency._write, []

    def refuse_twice(niceness: bytes) -> bool:
        written.append(niceness)
        return len(written) not in (2, 3) and write(niceness)

    monkeypatch.setattr(urgency, "_write", refuse_twice)
    with urgency.less_urgent(urgency.MUCH):
        pass
    eventually(own.read_bytes, lambda said: said == b"0", within=10, what="the usual urgency")
    assert written == [b"5", b"0", b"0", b"0"]


def test_where_linux_has_no_such_groups_it_is_as_urgent_as_ever(own: Path) -> None:
    own.unlink()
    with urgency.less_urgent(urgency.MUCH):
        assert not own.exists()


def test_linux_takes_it_back_from_who_is_not_root_and_changes_it_at_once() -> None:
    """It takes one change in a while of theirs, and says so in a way of its own."""
    if not Path(urgency._OWN).exists():
        return  # no such groups here: there is nothing to take back
    code = (
        "import ctypes, os\n"
        "os.setsid()  # a group of its own\n"
        "from elastic_jupyter_agent import urgency\n"
        "os.geteuid() or os.setresuid(65534, 65534, 65534)\n"
        "ctypes.CDLL(None).prctl(4, 1)  # PR_SET_DUMPABLE: else its files in /proc are root's\n"
        "def own(): return open(urgency._OWN).read().split()[-1]\n"
        "inside = ''\n"
        "while inside != '5':  # another process may just have changed its own\n"
        "    with urgency.less_urgent(urgency.MUCH): inside = own()\n"
        "while own() != '0': pass\n"
        "print(inside, own())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20
    )
    assert done.stdout == "5 0\n"


#: Prints how urgent the process was at each blob, and as an object of the user's was made.
RESTORE = """
import builtins, sys
from elastic_jupyter_agent import snapshot, urgency
from tests.unit.agent.snapshot.child import a_shell, run

own = urgency._OWN = sys.argv[1]
urgency.MUCH = 200_000
seen = builtins.seen = []
builtins.look = lambda: seen.append(open(own).read())

class Blobs(dict):
    has, put = dict.__contains__, dict.__setitem__
    def read_into(self, digest, view):
        look()
        view[:] = self[digest]
        return len(view)

for size in 100_000, 200_000:
    open(own, "w").write("nice 0")
    shell, blobs = a_shell(), Blobs()
    made = "class Made:\\n  def __setstate__(self, state): look()\\nmade = Made(); made.x = 1\\n"
    run(shell, f"import os\\n{made}large = os.urandom({size})")
    snapshot.restore(shell, snapshot.save(shell, blobs).manifest, blobs)
print(seen)
"""


def test_a_restore_is_less_urgent_while_it_reads_and_not_while_it_makes(own: Path) -> None:
    """What is made of it may take long, and its user waits for that."""
    done = subprocess.run(
        [sys.executable, "-c", RESTORE, str(own)],
        cwd=ROOT,
        env=os.environ
        | {"PYTHONPATH": f"{ROOT}:{ROOT / 'agent/src'}", "IPYTHONDIR": str(own.parent)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout == "['nice 0', 'nice 0', '5', '0']\n", done.stderr
