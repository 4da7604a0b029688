"""Sessions that outlive the notebook server: each change of one is told to the gateway."""

import asyncio
import json
from typing import Any

from jupyter_server.gateway.gateway_client import GatewayClient, gateway_request
from jupyter_server.gateway.managers import GatewaySessionManager
from jupyter_server.utils import url_path_join
from tornado.escape import url_escape
from tornado.web import HTTPError

from elastic_jupyter.notebook.kernels import ElasticMappingKernelManager

#: Seconds that a front end waits for a gateway that is to keep its session; then it goes on.
TELLING = 1.0
_SESSION_NAME = "JPY_SESSION_NAME"
_COLUMNS = ("session_id", "path", "name", "type", "kernel_id")


class ElasticSessionManager(GatewaySessionManager):
    """Overrides what reads and writes sessions (jupyter_server 2.21.1), with ``super()``.

    All of it waits for the adoption, or raises 503 (``ElasticMappingKernelManager``). A session
    goes with its kernel, at the gateway as here, so its end need not be told.
    """

    kernel_manager: ElasticMappingKernelManager

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        self._telling: set[asyncio.Task[None]] = set()
        # One at a time: a later change must not be overtaken by an earlier one.
        self._order = asyncio.Lock()

    def adopt(self, sessions: list[dict[str, str]]) -> None:
        """Take over sessions that the gateway keeps: id, path, name, type and ``kernel_id``.

        One that is known already stays as it is. One that the gateway could not take from its old
        kernel comes twice: the kernel that was made last has it.
        """
        # All of them are read before the first is kept: half a list would be adopted twice.
        rows = {
            one["id"]: [one["id"], *(one[column] for column in _COLUMNS[1:])] for one in sessions
        }
        for known in self.cursor.execute("SELECT session_id FROM session").fetchall():
            rows.pop(known["session_id"], None)
        self.cursor.executemany("INSERT INTO session VALUES (?,?,?,?,?)", rows.values())

    def get_kernel_env(self, path: str | None, name: Any = None) -> dict[str, str]:
        """Return what a session adds to the environment of its kernel.

        Upstream's has this process' whole environment in it, which the kernel manager adds anyway,
        and which it logs with all the tokens.
        """
        return {_SESSION_NAME: super().get_kernel_env(path, name)[_SESSION_NAME]}

    async def session_exists(self, path: str) -> bool:
        """Say whether there is a session of this path."""
        await self.kernel_manager.until_adopted()
        return bool(await super().session_exists(path))  # type: ignore[no-untyped-call]

    async def get_session(self, **kwargs: Any) -> Any:
        """Return one session. Raises 404."""
        await self.kernel_manager.until_adopted()
        return await super().get_session(**kwargs)  # type: ignore[no-untyped-call]

    async def list_sessions(self) -> Any:
        """Return all sessions."""
        await self.kernel_manager.until_adopted()
        return await super().list_sessions()  # type: ignore[no-untyped-call]

    async def save_session(self, session_id: str, *args: Any, **kwargs: Any) -> Any:
        """Store a new session and tell the gateway."""
        saved = await super().save_session(session_id, *args, **kwargs)  # type: ignore[no-untyped-call]
        await self._tell(session_id)
        return saved

    async def update_session(self, session_id: str, **kwargs: Any) -> None:
        """Change a session and tell the gateway."""
        await super().update_session(session_id, **kwargs)  # type: ignore[no-untyped-call]
        await self._tell(session_id)

    async def _tell(self, session_id: str) -> None:
        """Tell the gateway, before the front end gets its answer where that does not take long."""
        if not self.kernel_manager.kept_by_gateway:
            return
        task = asyncio.create_task(self._put(session_id))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)
        await asyncio.wait({task}, timeout=TELLING)

    async def _put(self, session_id: str) -> None:
        async with self._order:
            found = self.cursor.execute("SELECT * FROM session WHERE session_id=?", (session_id,))
            row = found.fetchone()
            if row is None:
                return
            path = (row["kernel_id"], "sessions", session_id)
            client = GatewayClient.instance()
            url = url_path_join(
                client.url or "", client.kernels_endpoint, *(url_escape(part) for part in path)
            )
            body = {column: row[column] for column in ("path", "name", "type")}
            try:
                await gateway_request(url, method="PUT", body=json.dumps(body))
            except HTTPError as error:
                # The tab works all the same, and only a restart of this server would lose it.
                self.log.warning("The gateway does not keep session %s: %s", session_id, error)
