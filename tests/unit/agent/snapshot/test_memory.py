"""How much memory a save takes, in a process of its own: many small objects are saved last of all
in a kernel whose memory is nearly full.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
