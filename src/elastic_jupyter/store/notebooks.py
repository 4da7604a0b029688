"""The notebooks that a gateway serves, followed in the Secret in which the operator names them."""

import asyncio
import base64
from collections.abc import Callable
from typing import NoReturn

from elastic_jupyter.api import names
from elastic_jupyter.kube.client import Client
from elastic_jupyter.kube.kinds import SECRET, Key, Object
from elastic_jupyter.kube.reflector import Reflector


class SecretNotebooks:
    """``ServedNotebooks`` in a Secret. Needs get, list and watch on it by name.

    While the Secret is gone the last one counts, and before the first one ``synced`` is not set:
    the operator makes it again.
    """

    def __init__(self, client: Client, namespace: str, name: str) -> None:
        self.uids: frozenset[str] = frozenset()
        self.synced = asyncio.Event()
        self.on_change: Callable[[], None] | None = None
        self._reflector = Reflector(
            client, SECRET, namespace, field_selector=f"metadata.name={name}"
        )
        self._reflector.on_change(self._changed)

    async def run(self) -> NoReturn:
        await self._reflector.run()

    def _changed(self, key: Key, old: Object | None, new: Object | None) -> None:
        if new is not None:
            text = base64.b64decode((new.get("data") or {}).get(names.NOTEBOOKS_KEY) or "")
            self.uids = frozenset(text.decode(errors="replace").split())
            self.synced.set()
            if self.on_change:
                self.on_change()
