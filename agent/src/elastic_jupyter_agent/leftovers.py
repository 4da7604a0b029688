"""What user code left running in a kernel: threads, tasks, child processes, work on a GPU.

Everything counts that is not known to belong to the kernel or to wait in a library's pool.
Standard library only.
"""

import asyncio
import contextlib
import os
import sys
import threading
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
#: Processes by which Python's libraries watch over their own resources.
_WATCHERS = ("resource_tracker", "multiprocessing.forkserver", "torch/_inductor/compile_worker")


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
        module = frame.f_globals.get("__name__", "") if frame else ""
        if module.partition(".")[0] not in _OWN:
            name = getattr(coroutine, "__qualname__", type(coroutine).__name__)
            found.append(f"{task.get_name()} ({name})")
    return found


def _processes() -> list[str]:
    """Return the programs of all descendants that still run, with their pids."""
    parents: dict[int, int] = {}
    for entry in os.scandir("/proc") if os.path.isdir("/proc") else ():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # The command may hold anything, so fields count from its end.
                stat = Path(entry.path, "stat").read_text(errors="replace").rpartition(")")[2]
                state, parent = stat.split()[:2]
                if state != "Z":
                    parents[int(entry.name)] = int(parent)
    mine, found = {os.getpid()}, []
    while more := {pid for pid, parent in parents.items() if parent in mine and pid not in mine}:
        mine |= more
        found += sorted(more)
    commands = ((pid, _command(pid)) for pid in found)
    return [
        f"{_program(command)} ({pid})"
        for pid, command in commands
        if command and not any(watcher in command for watcher in _WATCHERS)
    ]


def _program(command: str) -> str:
    """Return the program's name alone: what follows may hold a password, and is read by others."""
    return os.path.basename(command.partition(" ")[0])


def _command(pid: int) -> str:
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    return arguments.replace(b"\0", b" ").decode(errors="replace").strip()[:200]
