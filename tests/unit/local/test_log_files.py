import subprocess
import sys
from pathlib import Path

from elastic_jupyter.local import log_files
from tests.support.eventually import eventually

#: Writes lines until its input ends, and then a last one.
WRITES = """
import itertools, os
os.set_blocking(0, False)
for number in itertools.count():
    os.write(1, b"%d\\n" % number)
    try:
        if not os.read(0, 1):
            break
    except BlockingIOError:
        pass
os.write(1, b"end\\n")
"""


def test_a_short_log_stays(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"1\n2\n3\n")
    log_files.cut(log, longest=6, kept=2)
    assert log.read_bytes() == b"1\n2\n3\n"


def test_the_end_of_a_long_log_stays_from_a_whole_line_on(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_bytes(b"x" * (3 << 20) + b"first\nsecond\nthird\n")
    log_files.cut(log, longest=2 << 20, kept=17)
    assert log.read_bytes() == (
        b"[elastic-jupyter] what was here was removed: the log had grown to 3 MiB\nsecond\nthird\n"
    )


def test_who_writes_goes_on_at_the_new_end(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    with log.open("ab") as output:
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITES], stdin=subprocess.PIPE, stdout=output
        )
    for _ in range(5):
        eventually(lambda: log.stat().st_size, lambda size: size > 4096, within=20, what="lines")
        log_files.cut(log, longest=4096, kept=1024)
    writer.communicate(timeout=20)
    lines = log.read_text().splitlines()
    assert lines[-1] == "end"
    notes = [line for line in lines if "what was here was removed" in line]
    assert notes
    # No line is half a line, and no hole is where the beginning was.
    assert [line for line in lines[:-1] if not line.isdecimal() and line not in notes] == []


def test_the_logs_of_a_state_directory_are_cut_and_nothing_else(tmp_path: Path) -> None:
    kernel = tmp_path / "kernels" / "jovyan-1-1"
    kernel.mkdir(parents=True)
    logs = [tmp_path / "gateway.log", tmp_path / "notebook.log", kernel / "kernel.log"]
    for file in (*logs, tmp_path / "objects.db"):
        with file.open("wb") as opened:
            opened.truncate(log_files.LONGEST + 1)
    (tmp_path / "folder.log").mkdir()
    log_files.cut_all(tmp_path)
    assert max(file.stat().st_size for file in logs) < log_files.KEPT + 100
    assert (tmp_path / "objects.db").stat().st_size == log_files.LONGEST + 1
