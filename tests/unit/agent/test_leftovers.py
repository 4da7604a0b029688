"""What counts as left running by user code, as far as a kernel need not be there for it."""

import asyncio
from types import SimpleNamespace

import pytest

from elastic_jupyter_agent.leftovers import leftovers


async def forever() -> None:
    await asyncio.Event().wait()


async def test_a_task_is_told_until_it_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose code has just ended is not done yet for another thread that looks."""
    loop = asyncio.get_running_loop()
    coroutine = forever()
    coroutine.send(None)
    task = SimpleNamespace(get_coro=lambda: coroutine, get_name=lambda: "mine")
    monkeypatch.setattr(asyncio, "all_tasks", lambda _: [task])
    left = [one["name"] for one in leftovers(loop) if one["kind"] == "task"]
    assert left == ["mine (forever)"]
    coroutine.close()
    assert not [one for one in leftovers(loop) if one["kind"] == "task"]
