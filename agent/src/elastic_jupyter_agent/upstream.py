"""What is used of ipykernel that it does not promise: looked up here, and nowhere else.

Where some of it is missing, as in a later ipykernel, its kernel cannot be saved, and says so when
it is greeted, instead of failing when it is to sleep.
"""

import asyncio
import contextvars
import importlib.metadata
import threading
from typing import Any

#: Events that ipykernel triggers around our questions, too, as if they were cells.
_OF_CELLS = ("pre_execute", "pre_run_cell", "post_execute", "post_run_cell")


def missing(kernel: Any) -> str:
    """Return why this kernel cannot be saved, in a sentence; empty: it can."""
    absent = [
        name
        for name, there in {
            "the main lock": isinstance(getattr(kernel, "_main_asyncio_lock", None), asyncio.Lock),
            "the main loop": hasattr(getattr(kernel, "io_loop", None), "add_callback"),
            "locks of subshells": _knows_subshells(kernel),
            "its shell": getattr(kernel, "shell", None) is not None,
        }.items()
        if not there
    ]
    if not absent:
        return ""
    version = importlib.metadata.version("ipykernel")
    return f"ipykernel {version} is not one that the agent knows: it lacks {', '.join(absent)}"


def _knows_subshells(kernel: Any) -> bool:
    channel = getattr(kernel, "shell_channel_thread", None)
    manager = getattr(channel, "manager", None)
    return channel is None or (
        hasattr(manager, "list_subshell") and hasattr(manager, "get_subshell_asyncio_lock")
    )


def busy(kernel: Any) -> str:
    """Return why the shell or a subshell cannot be saved now; empty: it can."""
    if kernel._main_asyncio_lock.locked():
        return "a cell is running"
    channel = getattr(kernel, "shell_channel_thread", None)
    if channel is not None:
        for subshell in channel.manager.list_subshell():
            try:
                lock = channel.manager.get_subshell_asyncio_lock(subshell)
            except KeyError:  # it ended meanwhile
                continue
            if lock.locked():
                return "a cell is running in a subshell"
    return ""


def of_cells(kernel: Any) -> contextvars.Context | None:
    """Return the context in which cells run: numpy's and decimal's settings are variables of it.

    ipykernel 7.4 has it in a closure only. None: it is not there, and settings of cells are not
    known.
    """
    try:
        stream = kernel.shell_channel_thread.manager._shell_channel_to_main.to_stream
        callback = stream._recv_callback
        closure = zip(callback.__code__.co_freevars, callback.__closure__, strict=True)
        context = dict(closure)["context"].cell_contents
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return context if isinstance(context, contextvars.Context) else None


def leave_ended_children_alone(kernel: Any) -> None:
    """Have the kernel's end wait for children that still run, and for no others.

    ipykernel sends signals for half a minute to one that has ended and that nobody waited for, as
    nobody does for what was left behind (``leftovers.adopt_orphans``).
    """
    children = getattr(kernel, "_process_children", None)
    if children is None or "_process_children" in vars(kernel):
        return

    def running() -> list[Any]:
        return [child for child in children() if not _has_ended(child)]

    kernel._process_children = running


def _has_ended(child: Any) -> bool:
    """Say it of a ``psutil.Process``; that is there where ipykernel finds children."""
    try:
        return str(child.status()) == "zombie"
    except Exception:  # psutil's own, of one that is gone
        return True


def leave_hooks_alone(kernel: Any) -> None:
    """Have no hook of a cell run for what comes on the control channel.

    They would run for our questions, in the thread of that channel and beside a cell: inline
    figures that are half drawn would be shown and closed. Those of all other threads run on.
    """
    events = getattr(kernel.shell, "events", None)
    control = getattr(kernel, "control_thread", None)
    if events is None or control is None or "trigger" in vars(events):
        return
    trigger = events.trigger

    def trigger_for_cells(event: str, *arguments: Any, **named: Any) -> None:
        if event not in _OF_CELLS or threading.current_thread() is not control:
            trigger(event, *arguments, **named)

    events.trigger = trigger_for_cells
