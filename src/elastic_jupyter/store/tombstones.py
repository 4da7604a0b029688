"""Tombstones in one Secret: a key for each kernel id, ``{"at": ..., "tombstone": {...}}``."""

import asyncio
import base64
import binascii
import contextlib
from typing import Any

import msgspec

from elastic_jupyter import logs
from elastic_jupyter.api.names import tombstones_secret_name
from elastic_jupyter.clock import Clock, SystemClock
from elastic_jupyter.errors import Invalid, NotFound
from elastic_jupyter.kube.client import Client
from elastic_jupyter.kube.kinds import JUPYTER_GATEWAY, SECRET

MAX_BYTES = 700 * 1024
"""Of keys and values. A Secret holds 1 MiB, and etcd refuses 1.5 MiB, which is base64 and more."""

log = logs.get(__name__)


class SecretTombstones:
    """``TombstoneStore`` in a Secret that the operator made.

    Each write changes only its own key, so the writes of two gateways, while one hands over to the
    other, do not undo each other.
    """

    def __init__(
        self, client: Client, namespace: str, name: str, *, clock: Clock | None = None
    ) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name
        self._clock = clock or SystemClock()
        # A tombstone that is removed while it is being written must not come back.
        self._writing = asyncio.Lock()

    async def load(self) -> dict[str, dict[str, Any]]:
        tombstones: dict[str, dict[str, Any]] = {}
        for kernel_id, value in (await self._data()).items():
            entry = _decode(value)
            if entry is None:
                log.error("tombstone cannot be read and is left out", kernel=kernel_id)
            else:
                tombstones[kernel_id] = entry["tombstone"]
        return tombstones

    async def put(self, kernel_id: str, tombstone: dict[str, Any]) -> None:
        entry = {"at": self._clock.now().isoformat(), "tombstone": tombstone}
        value = base64.b64encode(msgspec.json.encode(entry)).decode()
        if _size(kernel_id, value) > MAX_BYTES:
            raise Invalid(f"the tombstone of {kernel_id} is larger than {MAX_BYTES} bytes")
        async with self._writing:
            others = {key: old for key, old in (await self._data()).items() if key != kernel_id}
            dropped = _overflow(others, room=MAX_BYTES - _size(kernel_id, value))
            if dropped:
                log.warning("tombstones are full, the oldest are dropped", dropped=len(dropped))
            await self._patch({**dict.fromkeys(dropped, None), kernel_id: value})

    async def remove(self, kernel_id: str) -> None:
        async with self._writing:
            try:
                await self._patch({kernel_id: None})
            except NotFound:
                return

    async def _data(self) -> dict[str, str]:
        secret = await self._client.get(SECRET, self._namespace, self._name)
        return secret.get("data") or {}

    async def _patch(self, data: dict[str, str | None]) -> None:
        await self._client.patch(SECRET, self._namespace, self._name, {"data": data})


class TeamTombstones:
    """``Tombstones`` of all gateways of a namespace."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    async def load(self) -> dict[str, dict[str, Any]]:
        gateways = await self._client.list(JUPYTER_GATEWAY, self._namespace)
        found: dict[str, dict[str, Any]] = {}
        for gateway in gateways.items:
            name = tombstones_secret_name(gateway["metadata"]["name"])
            with contextlib.suppress(NotFound):  # it has not begun yet
                found |= await SecretTombstones(self._client, self._namespace, name).load()
        return found


def _overflow(data: dict[str, str], *, room: int) -> list[str]:
    """Return the ids to drop, the oldest first, so that the others fit into ``room`` bytes."""
    excess = sum(_size(key, value) for key, value in data.items()) - room
    dropped: list[str] = []
    for key in sorted(data, key=lambda key: (_decode(data[key]) or {"at": ""})["at"]):
        if excess <= 0:
            break
        excess -= _size(key, data[key])
        dropped.append(key)
    return dropped


def _size(key: str, value: str) -> int:
    return len(key) + len(value) * 3 // 4


def _decode(value: str) -> dict[str, Any] | None:
    try:
        entry = msgspec.json.decode(base64.b64decode(value), type=dict[str, Any])
    except (msgspec.DecodeError, binascii.Error):
        return None
    fits = isinstance(entry.get("at"), str) and isinstance(entry.get("tombstone"), dict)
    return entry if fits else None
