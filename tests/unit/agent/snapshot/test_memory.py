"""How much memory a save takes, in a process of its own: many small objects are saved last of all
in a kernel whose memory is nearly full.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.agent.snapshot.torch_python import python_with_torch

ROOT = Path(__file__).parents[4]

#: Prints the bytes of the pickles, and the most memory that the save took beside the namespace.
SAVE = """
import gc, json, sys
from elastic_jupyter_agent import snapshot
from tests.unit.agent.snapshot.child import a_shell, run

class Nowhere:
    def has(self, digest): return False
    def put(self, digest, data): pass

def status(name):
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return 1024 * int(lines[name].split()[0])

shell = a_shell()
snapshot.save(shell, Nowhere())  # what is imported once
run(shell, sys.argv[1])
gc.collect()
open("/proc/self/clear_refs", "w").write("5")  # VmHWM counts from here
before = status("VmRSS")
groups = snapshot.save(shell, Nowhere()).manifest.groups
most = status("VmHWM") - before
stream = sum(group.stream.length for group in groups)
print(json.dumps([stream, sum(b.length for g in groups for b in g.buffers), most]))
"""


@pytest.mark.parametrize(
    ("code", "want"),
    [
        # With all pickles in memory and a copy of their memos it was 5 times the stream.
        pytest.param("x = ['some text that is not short %d' % i * 2 for i in range(700_000)]", 1.5),
        # What pickle remembers of an object has 9 times its stream; it was 43 times.
        pytest.param(
            "class P:\n  def __init__(s, n): s.n, s.t = n, str(n)\n"
            "x = {n: P(n) for n in range(60_000)}",
            14,
        ),
        pytest.param("import numpy\nx = numpy.ones(10_000_000)", 0),
    ],
    ids=["strings", "objects", "array"],
)
def test_a_save_takes_little_memory(code: str, want: float) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SAVE, code],
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'agent/src'}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    stream, buffers, most = json.loads(done.stdout)
    assert most < 8_000_000 + want * stream, (stream, buffers, most)


#: A storage that says it is on a device, held by two names. Prints how often it was copied.
DEVICE = """
import torch
from elastic_jupyter_agent import snapshot
from tests.unit.agent.snapshot.child import a_shell

class UntypedStorage:
    device, copies = "cuda:0", 0
    def data_ptr(self): return 4096
    def nbytes(self): return 100_000
    def cpu(self):
        UntypedStorage.copies += 1
        ones = torch.ones(100_000, dtype=torch.uint8)
        return getattr(ones, "untyped_storage", lambda: ones.storage()._storage)()
UntypedStorage.__module__ = "torch"

class Blobs(dict):
    has, put = dict.__contains__, dict.__setitem__

shell, blobs = a_shell(), Blobs()
shell.user_ns["x"] = [UntypedStorage()]
shell.user_ns["y"] = shell.user_ns["x"] * 2
groups = snapshot.save(shell, blobs).manifest.groups
lengths = [b.length for g in groups for b in g.buffers]
print(UntypedStorage.copies, lengths)
"""


def test_what_is_on_a_device_is_copied_once_and_when_it_is_written(tmp_path: Path) -> None:
    done = subprocess.run(
        [python_with_torch(), "-c", DEVICE],
        env=os.environ
        | {"PYTHONPATH": f"{ROOT}:{ROOT / 'agent/src'}", "IPYTHONDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "1 [100000]\n", done.stderr
