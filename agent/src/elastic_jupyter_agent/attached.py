"""What the gateway asks of a running kernel, an unmodified ipykernel too.

It sends an execute_request on the control channel, with no code and one user expression,
``__import__("elastic_jupyter_agent.attached", fromlist=["*"]).answer("...")``. That runs in the
control thread, leaves nothing in the user's namespace or history, and its ImportError says that
there is no agent. Importing this imports little.
"""

import concurrent.futures
import contextvars
import hashlib
import json
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from elastic_jupyter_agent import upstream, wire

#: Seconds between two looks whether the shell is busy. It is when it has been so for the grace: a
#: cell that has sent its reply, or a completion, needs less. An event loop may be busy without it.
_LOOK, _GRACE, _PATIENCE = 0.02, 0.3, 5.0
#: Told where it is not known in which context cells run.
_NO_CONTEXT = "settings of numpy's errors and of decimal did not come back: ipykernel is too new"
#: How far the shell had counted when variables were given to it; before that, to its first cell.
_counted = 1
#: The latest snapshot of this process, whose blobs the next one uses again.
_latest: wire.Manifest | None = None
#: What of it could not be made anew, for the next one.
_left: tuple[wire.Group, ...] = ()


def answer(document: str) -> str:
    """Answer a question in JSON, in JSON of ASCII. Never raises.

    ``{"ask": "hello" | "leftovers"}``, ``{"ask": "save" | "restore", "url", "token"}``. Every
    answer may be ``{"error": sentence}``, with ``"damaged": true`` about a snapshot that came
    otherwise than it was saved; those to save and restore ``{"busy": sentence}``, and all but that
    to leftovers ``{"unsavable": sentence}``, for a kernel that can never be saved.
    """
    try:
        question = json.loads(document)
        ask = question.pop("ask")
        upstream.leave_hooks_alone(kernel := _kernel())
        if ask != "leftovers" and (why := upstream.missing(kernel)):
            return json.dumps({"unsavable": why})
        return json.dumps(_QUESTIONS[ask](**question))
    except BaseException as error:
        damaged = {"damaged": True} if isinstance(error, wire.DamagedBlob) else {}
        return json.dumps({"error": _sentence(error), **damaged})


def _hello() -> dict[str, Any]:
    from importlib.metadata import PackageNotFoundError, version

    from elastic_jupyter_agent import leftovers

    leftovers.adopt_orphans()
    upstream.leave_ended_children_alone(_kernel())
    try:
        agent = version("elastic-jupyter-agent")
    except PackageNotFoundError:  # run from its sources
        agent = ""
    return {"agent": agent, "wire": wire.VERSION, "python": sys.version.split()[0]}


def _leftovers() -> dict[str, Any]:
    from elastic_jupyter_agent import leftovers

    return {"leftovers": leftovers.leftovers(_kernel().io_loop.asyncio_loop)}


def _save(url: str, token: str) -> dict[str, Any]:
    from elastic_jupyter_agent.interruptible import Question

    return _in_main_thread(
        lambda: _save_now(url, token),
        is_cancelled=Question(url, token).is_cancelled,
        afterwards=lambda: Question(url, token).hold(),
    )


def _save_now(url: str, token: str) -> dict[str, Any]:
    global _latest, _left
    from elastic_jupyter_agent import snapshot, transfer

    with transfer.Gateway(url, token) as gateway:
        saved = snapshot.save(_kernel().shell, gateway, _latest, _left)
        text = saved.manifest.to_json().encode()
        gateway.put_manifest(text)
    _latest, _left = saved.manifest, saved.left
    return {
        "id": hashlib.sha256(text).hexdigest(),
        "bytes": sum(blob.size for blob in _latest.blobs),
        "written": saved.written,
        "names": _latest.names,
        "comms": _latest.state.get("comms"),
        "lost": [vars(lost) for lost in _latest.lost],
    }


def _restore(url: str, token: str) -> dict[str, Any]:
    return _in_main_thread(lambda: _restore_now(url, token))


def _restore_now(url: str, token: str) -> dict[str, Any]:
    global _counted, _latest, _left
    from elastic_jupyter_agent import snapshot, transfer

    shell = _kernel().shell
    if shell.execution_count != _counted:  # another gateway gave it its variables, and a cell
        return {"restored": [], "lost": [], "notices": [], "ran": True}
    with transfer.Gateway(url, token) as gateway:
        manifest = wire.Manifest.from_json(gateway.get_manifest())
        report = snapshot.restore(shell, manifest, gateway)
    _counted, _latest, _left = shell.execution_count, manifest, report.left
    unknown = upstream.of_cells(_kernel()) is None
    return {
        "restored": report.restored,
        "lost": [vars(lost) for lost in (*manifest.lost, *report.lost)],
        "notices": [*report.notices, *[_NO_CONTEXT] * unknown],
    }


_QUESTIONS: dict[str, Callable[..., dict[str, Any]]] = {
    "hello": _hello,
    "leftovers": _leftovers,
    "save": _save,
    "restore": _restore,
}


def _kernel() -> Any:
    from IPython.core.getipython import get_ipython

    shell: Any = get_ipython()
    if shell is None or not hasattr(shell, "kernel"):
        raise RuntimeError("there is no ipykernel in this process")
    return shell.kernel


def _in_main_thread(
    work: Callable[[], dict[str, Any]],
    *,
    is_cancelled: Callable[[], bool] = lambda: False,
    afterwards: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Do the work where cells run, so that none runs meanwhile, nor a task of the user's.

    A shell that is busy, or becomes so before the work begins, is left alone. What takes long ends
    once it ``is_cancelled``: an interrupt of the user's would wait here, in the control thread.
    ``afterwards`` is done there, too, after what was done without an error was answered.
    """
    from elastic_jupyter_agent.interruptible import EVERY, Interruptible

    kernel = _kernel()
    interruptible = Interruptible(work)
    if threading.current_thread() is threading.main_thread():
        return interruptible()
    done: concurrent.futures.Future[dict[str, Any]] = concurrent.futures.Future()

    def begin() -> None:
        if not done.set_running_or_notify_cancel():
            return
        try:
            busy = upstream.busy(kernel)  # an asynchronous cell may have begun, and waits
            context = upstream.of_cells(kernel) or contextvars.copy_context()
            done.set_result({"busy": busy} if busy else context.run(interruptible))
        except BaseException as error:
            done.set_exception(error)
            return
        if not busy:
            afterwards()

    kernel.io_loop.add_callback(begin)
    asked = time.monotonic()
    # The work itself may raise a TimeoutError, so whether it is done is not told by one.
    while not concurrent.futures.wait([done], EVERY if done.running() else _LOOK).done:
        if done.running():
            if is_cancelled():
                interruptible.interrupt()
            continue
        busy = upstream.busy(kernel)
        late = time.monotonic() - asked > (_GRACE if busy else _PATIENCE)
        if late and done.cancel():
            return {"busy": busy or "the kernel's event loop is busy"}
    return done.result()


def _sentence(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "it was interrupted"
    if isinstance(error, OSError | wire.WireError) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}"
