"""The sentences that a user reads in the notebook while a kernel waits, and after it came back.

Each is on a line of its own: JupyterLab breaks lines that are too long inside of words.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from elastic_jupyter.api.kernel import WhenIdle


def place(position: int, length: int) -> str:
    """Return ``2nd of 3``; both count from 1."""
    return f"{position}{_suffix(position)} of {length}"


def _suffix(number: int) -> str:
    if number % 100 in (11, 12, 13):
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


def queued(position: int, length: int, reason: str) -> str:
    """Return the waiting text of a kernel in the queue for a GPU."""
    text = f"Waiting for a GPU: {place(position, length)} in the queue."
    return f"{text}\n{reason}" if reason else text


def pending(reason: str, message: str) -> str:
    """Return the waiting text of a kernel whose pod is being scheduled, pulled or started."""
    detail = f"{reason}: {message}" if reason and message else reason or message
    return f"Starting the kernel.\n{detail}" if detail else "Starting the kernel."


STARTING = pending("", "")


def reclaimed(idle: timedelta | None) -> str:
    """Return what is shown before the first output after a reclaim."""
    since = f" after {duration(idle)} without use" if idle else ""
    return (
        f"[elastic-jupyter] The kernel was stopped{since} and its resources were given back.\n"
        "This is a new kernel: its variables are gone, run the cells above again as needed."
    )


def replaced(reason: str) -> str:
    """Return what is shown before the first output after a kernel was lost for ``reason``."""
    return (
        f"[elastic-jupyter] The previous kernel ended: {reason}.\n"
        "This is a new kernel: its variables are gone, run the cells above again as needed."
    )


def restored(names: Sequence[str], lost: Sequence[Mapping[str, str]]) -> str:
    """Return what is shown before the first output after a wake: what is back, and what is not.

    Each of ``lost`` has ``name``, ``type`` and ``reason``.
    """
    back = f"The kernel woke with {listed(names)}." if names else "The kernel woke."
    text = f"[elastic-jupyter] {back}"
    if not lost:
        return text
    gone = [lost_one(one["name"], one["type"], one["reason"]) for one in lost]
    return f"{text}\nNot restored: {listed(gone)}."


def lost_one(name: str, type: str, reason: str) -> str:
    """Return ``name (type: reason)``: a variable that did not come back."""
    return f"{name} ({type}: {reason})"


def listed(names: Sequence[str], *, most: int = 12, of: int | None = None) -> str:
    """Return ``a, b, c and 3 more``; ``of``: how many there are, where not all are given."""
    shown = names[:most]
    more = (len(names) if of is None else of) - len(shown)
    return f"{', '.join(shown)} and {more} more" if more > 0 else ", ".join(shown)


#: How the sentence begins that says why variables are gone which were to be saved.
_IDLE_AND_UNSAVED = "it was idle, and its variables could not be saved: "
_RELEASED_AND_UNSAVED = "it was released by request, and its variables could not be saved: "


def unsaved(reason: str, *, released: bool) -> str:
    """Return why a kernel's variables are gone that were to be saved."""
    return f"{_RELEASED_AND_UNSAVED if released else _IDLE_AND_UNSAVED}{reason}"


def is_unsaved(text: str) -> bool:
    """Say whether this is what ``unsaved`` returned."""
    return text.startswith((_IDLE_AND_UNSAVED, _RELEASED_AND_UNSAVED))


def unsavable(reason: str, timeout: timedelta) -> str:
    """Return what is shown early in a kernel that will be deleted, for it cannot be saved."""
    return (
        f"[elastic-jupyter] This kernel's variables cannot be saved: {reason}.\n"
        f"After {duration(timeout)} without use it is stopped, and they are gone."
    )


def save_failed(reason: str) -> str:
    """Return what is shown before the next output of a kernel that was to sleep and could not."""
    return (
        "[elastic-jupyter] This kernel was to sleep, and its variables could not be saved: "
        f"{reason}.\nNothing is lost: it runs on and keeps its resources. When it is idle, it is "
        "tried again."
    )


def save_again(reason: str, at: datetime | None) -> str:
    """Return the same for who looks at the kernel from outside; ``at`` is aware UTC."""
    when = f" at {at:%F %H:%M:%S} UTC" if at else ""
    return (
        f"{reason}: it runs on and keeps its resources, nothing is lost, and saving is tried again"
        f"{when}"
    )


#: Characters that are shown of the name of a thread, or of a command.
_LONGEST_NAME = 100


def left(kind: str, name: str) -> str:
    """Return ``thread 'worker'``: something that a cell has left running.

    Of kind ``gpu`` it is ``work on 'GPU 0 at 87 %'``.
    """
    what = "work on" if kind == "gpu" else kind[:_LONGEST_NAME]
    return f"{what} {name[:_LONGEST_NAME]!r}"


#: The same of what keeps the agent from answering, whatever it is.
SILENT = "something that lets nothing else run in it"


def with_left(notice: str, running: Sequence[str]) -> str:
    """Return a notice and, in a line of its own, what ended with the kernel; nothing: as it is."""
    if not running:
        return notice
    return f"{notice}\nStill running when it was stopped: {listed(running, most=3)}."


def reclaimed_soon(kernel_id: str, at: datetime) -> str:
    """Return the warning of a reclaim ``at`` (aware UTC)."""
    return (
        f"it is idle, and is reclaimed at {at:%F %H:%M:%S} UTC unless a cell runs before; to keep "
        f"it: elastic-jupyter extend {kernel_id} 1h"
    )


#: What becomes of a kernel whose variables cannot be saved.
INSTEAD = {
    WhenIdle.KEEP: "so it is not reclaimed, however long it is idle",
    WhenIdle.DELETE: "it is deleted when it is idle for too long, and they are gone",
}


#: What is said of a kernel that rests.
DORMANT = "it starts with the first execution"
HIBERNATED = "its variables are saved, and come back with the next execution"
#: Shown while variables are read, and when nobody waits for them any more.
RESTORING = "Waking the kernel: its variables are being restored."
DROPPED = (
    "[elastic-jupyter] The kernel was restarted while it slept: the variables that were saved of "
    "it are gone."
)


def touched(*, sleeps: bool, kept: bool) -> str:
    """Return the answer to a touch of a widget whose kernel is not there.

    ``sleeps``: the widget comes back when the kernel wakes. ``kept``: so does the change.
    """
    if not sleeps:
        return (
            "[elastic-jupyter] The kernel of this widget was stopped: run the widget's cell again."
        )
    then = "the change reaches it then." if kept else "then do this again."
    return f"[elastic-jupyter] The kernel of this widget sleeps. Run a cell to wake it: {then}"


def not_woken(reason: str) -> str:
    """Return the answer to a cell whose kernel did not wake; nothing is lost."""
    return (
        f"The kernel could not be woken: {reason}. Its variables stay saved: run the cell again to "
        "try it again, or restart the kernel to go on without them."
    )


def not_to_be_woken(reason: str, names: Sequence[str]) -> str:
    """Return the answer to a cell whose kernel cannot wake: what was saved cannot be read.

    ``names`` are those of the variables, as far as they are known.
    """
    what = f": {listed(names)}" if names else ""
    return (
        f"The kernel could not be woken: {reason}. Running the cell again does not bring its "
        f"variables back{what}. Restart the kernel to go on without them: it starts empty."
    )


#: Why a kernel ended whose object somebody took away, or that nobody waited for any longer.
DELETED = "it was stopped (its JupyterKernel was deleted)"
INTERRUPTED = "the wait for it was interrupted"
#: The answer to a cell that was interrupted as it waited.
WAIT_INTERRUPTED = "The wait for the kernel was interrupted."
#: Why a kernel ended, and the answer to what it did not run, where ``spec.suspend`` asked for it.
RELEASED = "it was released by request"
RESTARTED = "it was restarted by request"
#: The answer to a cell that another gateway's kernel had when that was put to sleep.
SLEPT = (
    "The kernel was put to sleep as this reached it, and it may have run in part: look, and run it "
    "again."
)
NOT_RUN = "The kernel was released by request before it ran this. Run it again to ask for one."


def remade(notice: str, lost: str, spec_name: str) -> str:
    """Return a notice and what of the kernel's description was too large to be remembered."""
    return (
        f"{notice}\nIts {lost} could not be remembered and came from kernel spec {spec_name} again."
    )


def disturbed(reason: str) -> str:
    """Return the line shown in a running cell when its kernel may end for ``reason``."""
    return f"[elastic-jupyter] The kernel may end soon: {reason}"


#: Shown in a running cell whose kernel does not answer an interrupt.
INTERRUPT_UNHEARD = (
    "[elastic-jupyter] The kernel did not answer the interrupt: it is stuck, or it knows only "
    "signals and runs where none reach it.\nA restart ends the cell, and the variables with it."
)


def duration(span: timedelta) -> str:
    """Return a rough, readable length: ``45 s``, ``12 min``, ``3.5 h``."""
    seconds = span.total_seconds()
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
