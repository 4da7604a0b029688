"""What user code left running in a kernel: threads, tasks, child processes, work on a GPU.

Everything counts that is not known to belong to the kernel or to wait in a library's pool.
Standard library only.
"""

import asyncio
import contextlib
import ctypes
import inspect
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from elastic_jupyter_agent import gpus

#: Top-level modules whose threads and tasks are the kernel's own, or sleep until they are used.
_OWN = {
    "IPython",
    "_pydevd_bundle",
    "debugpy",
    "elastic_jupyter_agent",
    "ipykernel",
    "joblib",
    "pydevd",
    "tornado",
    "tqdm",
    "zmq",
}
#: What a Linux has that tells whom a process has started (CONFIG_PROC_CHILDREN).
_CHILDREN = "/proc/thread-self/children"
#: How often processes and threads are looked through while some of them end.
_LOOKS = 3
#: prctl(2), Linux 3.4.
_PR_SET_CHILD_SUBREAPER = 36
#: Processes by which Python's libraries watch over their own resources, and its debugger.
_WATCHERS = (
    "resource_tracker",
    "multiprocessing.forkserver",
    "torch/_inductor/compile_worker",
    "debugpy/adapter",
)


def leftovers(loop: Any) -> list[dict[str, str]]:
    """Return ``kind`` (thread, task, process, gpu) and ``name`` of each; ``loop`` is the main one.

    May be called from any thread.
    """
    return [
        *({"kind": "thread", "name": name} for name in _threads()),
        *({"kind": "task", "name": name} for name in _tasks(loop)),
        *({"kind": "process", "name": name} for name in _processes()),
        *({"kind": "gpu", "name": name} for name in gpus.at_work()),
    ]


def _threads() -> list[str]:
    frames = sys._current_frames()
    found = []
    for thread in threading.enumerate():
        if thread in (threading.main_thread(), threading.current_thread()):
            continue
        target = getattr(thread, "_target", None)
        modules = {type(thread).__module__, getattr(target, "__module__", None) or ""}
        if any(module.partition(".")[0] in _OWN for module in modules):
            continue
        frame = frames.get(thread.ident or 0)
        if frame is not None and _waits_for_work(frame):
            continue
        found.append(thread.name)
    return found


def _waits_for_work(frame: Any) -> bool:
    """Say whether a thread is a pool's that waits: the innermost frame is the pool's own loop."""
    module, name = frame.f_globals.get("__name__"), frame.f_code.co_name
    return (module, name) == ("concurrent.futures.thread", "_worker")


def _tasks(loop: Any) -> list[str]:
    found = []
    for task in asyncio.all_tasks(loop):
        coroutine: Any = task.get_coro()
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is None and inspect.iscoroutine(coroutine):
            continue  # it has ended since, as each request to a kernel does
        module = frame.f_globals.get("__name__", "") if frame else ""
        if module.partition(".")[0] not in _OWN:
            name = getattr(coroutine, "__qualname__", type(coroutine).__name__)
            found.append(f"{task.get_name()} ({name})")
    return found


def adopt_orphans() -> None:
    """Have what user code starts stay a descendant though what started it ends, as ``train &``.

    Else it becomes a child of the machine's init, but in a container whose init is the kernel.
    """
    with contextlib.suppress(OSError, AttributeError):  # not Linux
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _processes() -> list[str]:
    """Return the programs of all descendants that still run, with their pids."""
    ended: set[int] = set()
    for _ in range(_LOOKS):
        commands = {pid: _command(pid) for pid in _descendants()}
        before, ended = ended, {pid for pid, command in commands.items() if not command}
        if ended <= before:
            break
        # One has ended, and left what it had started to another, which was looked at before.
    return [
        f"{_program(command)} ({pid})"
        for pid, command in commands.items()
        if command and not any(watcher in command for watcher in _WATCHERS)
    ]


def _descendants() -> list[int]:
    children = _children if os.path.exists(_CHILDREN) else _children_by_parents()
    found: list[int] = []
    parents = [os.getpid()]
    while parents:
        started = {child for parent in parents for child in children(parent)}
        parents = sorted(started.difference(found))
        found += parents
    return found


def _children(pid: int) -> list[int]:
    """Return what a process and its threads have started.

    To look at all there is takes seconds where other code computes: each file that is read gives
    Python's lock away, and gets it back 5 ms later.
    """
    found: set[int] = set()
    for _ in range(_LOOKS):
        threads = _names(f"/proc/{pid}/task")
        told = [_read(f"/proc/{pid}/task/{thread}/children") for thread in threads]
        found.update(int(child) for children in told for child in children.split())
        if set(threads) <= set(_names(f"/proc/{pid}/task")):
            break
        # A thread has ended, and left what it had started to another, which was read before.
    return list(found)


def _children_by_parents() -> Callable[[int], list[int]]:
    """Return what does as ``_children`` where Linux does not tell; elsewhere it finds none."""
    parents = {int(name): _parent(name) for name in _names("/proc") if name.isdigit()}
    return lambda pid: [child for child, parent in parents.items() if parent == pid]


def _parent(pid: str) -> int | None:
    # The command may hold anything, so fields count from its end.
    fields = _read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return int(fields[1]) if len(fields) > 1 else None


def _names(folder: str) -> list[str]:
    with contextlib.suppress(OSError):
        return os.listdir(folder)
    return []


def _read(file: str) -> bytes:
    with contextlib.suppress(OSError):
        return Path(file).read_bytes()
    return b""


def _program(command: str) -> str:
    """Return the program's name alone: what follows may hold a password, and is read by others."""
    return os.path.basename(command.partition(" ")[0])


def _command(pid: int) -> str:
    """Return what a process runs, nothing where it has ended."""
    arguments = _read(f"/proc/{pid}/cmdline")
    return arguments.replace(b"\0", b" ").decode(errors="replace").strip()[:4096]
