"""Small objects of the API server, for tests that do not care what is in them."""

import asyncio
from collections.abc import Callable

from elastic_jupyter.kube.kinds import Object


def an_object(
    name: str, *, namespace: str = "team", labels: dict[str, str] | None = None, **parts: object
) -> Object:
    """Return an object of no particular kind. ``parts`` are its fields beside the metadata."""
    metadata: Object = {"name": name, "namespace": namespace}
    if labels:
        metadata["labels"] = labels
    return {"metadata": metadata, **parts}


async def until(condition: Callable[[], object], *, seconds: float = 60.0) -> None:
    """Wait for a condition, by the loop's time; a virtual-time loop does not really wait."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    pause = 0.01
    while not condition():
        if loop.time() > deadline:
            raise AssertionError(f"not seen within {seconds} s")
        await asyncio.sleep(pause)
        pause = min(2 * pause, 0.1)
