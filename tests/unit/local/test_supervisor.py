import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from elastic_jupyter.local import supervisor
from elastic_jupyter.local.supervisor import Service, Supervised
from tests.support.eventually import eventually
from tests.support.machine import is_running

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); signal.pause()\n"
WAITS = "import signal; signal.pause()\n"


def a_service(folder: Path, code: str) -> Service:
    (folder / "served.py").write_text(code)
    return Service(
        name="test",
        module="served",
        arguments=["a"],
        log_file=folder / "log",
        directory=folder,
        environment={"PYTHONPATH": os.pathsep.join([*sys.path, str(folder)])},
    )


async def until(want: Callable[[], object], what: str) -> None:
    await asyncio.to_thread(eventually, want, bool, within=20, what=what)


def runs(pid: int | None) -> bool:
    return pid is not None and is_running(pid)


async def test_a_process_that_is_killed_is_started_again(tmp_path: Path) -> None:
    service = Supervised(a_service(tmp_path, WAITS))
    keeping = asyncio.create_task(service.run())
    await until(lambda: service.pid, "a process")
    first = service.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    await until(lambda: service.pid != first and runs(service.pid), "another process")
    assert service.ends == 1
    keeping.cancel()
    await service.stop()
    assert not runs(service.pid)


async def test_one_that_does_not_end_when_asked_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "GRACE", 0.5)
    log = tmp_path / "log"
    service = Supervised(a_service(tmp_path, f"print('up', flush=True)\n{STUBBORN}"))
    keeping = asyncio.create_task(service.run())
    await until(lambda: service.pid and "up" in log.read_text(), "that it is up")
    keeping.cancel()
    await service.stop()
    assert not runs(service.pid)


async def test_arguments_and_output_are_the_modules_own(tmp_path: Path) -> None:
    code = f"import sys; print(sys.argv[1:], __name__, flush=True)\n{WAITS}"
    log = tmp_path / "log"
    service = Supervised(a_service(tmp_path, code))
    keeping = asyncio.create_task(service.run())
    await until(lambda: service.pid and log.read_text(), "its output")
    assert log.read_text() == "['a'] __main__\n"
    assert log.stat().st_mode & 0o777 == 0o600
    keeping.cancel()
    await service.stop()


SUPERVISOR = """
import asyncio, sys
from pathlib import Path
from elastic_jupyter.local.supervisor import Service, Supervised

folder = Path(sys.argv[1])
service = Supervised(Service("test", "served", [], folder / "log", directory=folder))

async def main():
    keeping = asyncio.create_task(service.run())
    while not service.pid:
        await asyncio.sleep(0.01)
    print(service.pid, flush=True)
    await keeping

asyncio.run(main())
"""


def test_a_service_ends_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    a_service(tmp_path, WAITS)
    with subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([*sys.path, str(tmp_path)])},
    ) as supervisor:
        assert supervisor.stdout is not None
        pid = int(supervisor.stdout.readline())
        assert runs(pid)
        supervisor.kill()
    eventually(lambda: runs(pid), lambda up: not up, within=20, what="the end of the service")
