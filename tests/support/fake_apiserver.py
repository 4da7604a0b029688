"""An API server on loopback that fails on demand: what a real one cannot be made to do.

It keeps objects of any kind as dicts, and knows lists in pages, watches with bookmarks, merge
patch, preconditions, a server-side apply that takes a list as one value, and little else. What the
API server decides (defaults, validation, conflicts of field owners, garbage collection) is tested
on a real one.
"""

import asyncio
import contextlib
import copy
import json
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from elastic_jupyter.kube.kinds import Key, Kind, Object, key_of
from elastic_jupyter.kube.requests import APPLY_PATCH, path


@dataclass(frozen=True)
class Seen:
    """A request that came in. ``at`` is the loop's time in seconds."""

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: Any
    at: float

    @property
    def verb(self) -> str:
        """``watch``, ``list``, ``get``, or the HTTP method in lower case."""
        if self.method != "GET":
            return self.method.lower()
        if self.params.get("watch"):
            return "watch"
        return "get" if _is_object(self.path) else "list"

    @property
    def writes(self) -> bool:
        """Whether it changes something."""
        return self.method != "GET" and "dryRun" not in self.params


@dataclass
class _Failure:
    verb: str | None
    path: str
    status: int
    message: str
    reason: str
    headers: dict[str, str]
    times: int


@dataclass(eq=False)
class _Watch:
    collection: str
    params: dict[str, str]
    queue: "asyncio.Queue[bytes | str]" = field(default_factory=asyncio.Queue)

    def offer(self, event_type: str, obj: Object, before: Object | None = None) -> None:
        """Tell of a write; what came to match the selector, or ceased to, came or went."""
        if not obj_in(self.collection, obj):
            return
        was = before is not None and _matches(before, self.params)
        if _matches(obj, self.params):
            came = event_type == "MODIFIED" and not was
            self.queue.put_nowait(_line("ADDED" if came else event_type, obj))
        elif was:
            self.queue.put_nowait(_line("DELETED", obj))


class FakeApiServer:
    """Use as an async context manager; ``url`` is where it listens."""

    def __init__(self, *, port: int = 0) -> None:
        self._port = port
        self.url = ""
        self.seen: list[Seen] = []
        self.tokens: set[str] | None = None
        """Bearer tokens that are let in; None: anybody."""
        self.mute = False
        """Take requests in but never answer."""
        self.expire_pages = False
        """Forget each list before its second page is asked for."""
        self.graceful = False
        """Mark a deleted pod, as for its grace period, and leave it to the test to remove it."""
        self.defaulting: Callable[[Object], None] = lambda obj: None
        """Changes each object that is written, as defaults and canonical quantities do."""
        self._applied: dict[tuple[str, str], Object] = {}
        self._writes_until_lost = 0
        self._objects: dict[str, dict[Key, Object]] = {}
        self._history: list[tuple[int, str, str, Object, Object | None]] = []
        self._version = 100
        self._compacted = 0
        self._pages: dict[str, list[Object]] = {}
        self._watches: set[_Watch] = set()
        self._failures: deque[_Failure] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # What a test does to the world

    def put(self, kind: Kind, obj: Object) -> Object:
        """Create or replace an object; return it as stored."""
        key = key_of(obj)
        stored = self._kind(kind).get(key)
        obj = copy.deepcopy(obj)
        obj.update(apiVersion=kind.api_version, kind=kind.kind)
        metadata = obj["metadata"]
        metadata["uid"] = stored["metadata"]["uid"] if stored else str(uuid.uuid4())
        metadata["managedFields"] = [{"manager": "test", "operation": "Update"}]
        self._write("MODIFIED" if stored else "ADDED", kind, obj)
        return copy.deepcopy(obj)

    def remove(self, kind: Kind, key: Key) -> None:
        """Delete an object."""
        self._write("DELETED", kind, copy.deepcopy(self._kind(kind)[key]))

    def get(self, kind: Kind, key: Key) -> Object:
        """Return an object as stored."""
        return copy.deepcopy(self._kind(kind)[key])

    def all(self, kind: Kind) -> dict[Key, Object]:
        """Return all objects of a kind as stored."""
        return copy.deepcopy(self._kind(kind))

    # What a test does to the server

    def fail(
        self,
        status: int,
        *,
        verb: str | None = None,
        path: str = "",
        times: int = 1,
        message: str = "fake failure",
        reason: str = "",
        headers: dict[str, str] | None = None,
    ) -> None:
        """Answer the next ``times`` requests with an error; -1: all from now.

        Only those with this verb, and with a path that ends in ``path``.
        """
        self._failures.append(_Failure(verb, path, status, message, reason, headers or {}, times))

    def lose_answer(self, number: int) -> None:
        """Do what write number ``number`` from now asks for, but cut its connection: 1 is next."""
        self._writes_until_lost = number

    @property
    def will_lose_answer(self) -> bool:
        """Whether the write whose answer is to be lost has not come yet."""
        return self._writes_until_lost > 0

    @property
    def writes(self) -> int:
        """How many requests that change something came in, dry runs not counted."""
        return sum(seen.writes for seen in self.seen)

    @property
    def version(self) -> int:
        """The newest resource version: higher after each change."""
        return self._version

    def recover(self) -> None:
        """Stop failing."""
        self._failures.clear()

    def forget_history(self) -> None:
        """Answer 410 to every watch that starts before now, and to the rest of every list."""
        self._compacted = self._version
        self._pages.clear()

    def end_watches(self) -> None:
        """End all watches in order, as at their timeout."""
        self._tell_watches("end")

    def drop_watches(self) -> None:
        """Cut the connections of all watches in the middle of a line."""
        self._tell_watches("drop")

    def freeze_watches(self) -> None:
        """Send nothing more on the present watches but leave them open: a half-open socket."""
        self._watches.clear()

    def bookmark(self) -> None:
        """Send a bookmark on all watches."""
        for watch in self._watches:
            metadata = {"resourceVersion": str(self._version)}
            watch.queue.put_nowait(_line("BOOKMARK", {"metadata": metadata}))

    def expire_watches(self) -> None:
        """Send the ERROR event 410 on all watches."""
        for watch in self._watches:
            status = {"kind": "Status", "metadata": {}, "code": 410, "reason": "Expired"}
            watch.queue.put_nowait(_line("ERROR", status))
        self._tell_watches("end")

    def count(self, verb: str) -> int:
        """Return how many requests with this verb came in."""
        return sum(seen.verb == verb for seen in self.seen)

    @property
    def watching(self) -> int:
        """How many watches are open and not frozen."""
        return len(self._watches)

    # Inside

    def _kind(self, kind: Kind) -> dict[Key, Object]:
        return self._objects.setdefault(path(kind, None), {})

    def _write(self, event_type: str, kind: Kind, obj: Object) -> None:
        self._version += 1
        obj["metadata"]["resourceVersion"] = str(self._version)
        collection = path(kind, None)
        before = self._objects.get(collection, {}).get(key_of(obj))
        if event_type == "DELETED":
            del self._objects[collection][key_of(obj)]
        else:
            self.defaulting(obj)
            self._objects.setdefault(collection, {})[key_of(obj)] = obj
        self._history.append((self._version, event_type, collection, copy.deepcopy(obj), before))
        for watch in self._watches:
            if _all_namespaces(watch.collection) == collection:
                watch.offer(event_type, obj, before)

    def _tell_watches(self, how: str) -> None:
        for watch in self._watches:
            watch.queue.put_nowait(how)
        self._watches.clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(
                ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError
            ):
                while await self._one_request(reader, writer):
                    pass
        finally:
            self._tasks.discard(task)
            writer.close()

    async def _one_request(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *rest = head.strip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {
            name.lower(): value.strip() for name, _, value in (r.partition(":") for r in rest)
        }
        content = await reader.readexactly(int(headers.get("content-length", 0)))
        url = urlsplit(target)
        seen = Seen(
            method,
            url.path,
            dict(parse_qsl(url.query)),
            headers,
            json.loads(content) if content else None,
            asyncio.get_running_loop().time(),
        )
        self.seen.append(seen)
        if self.mute:
            await asyncio.Event().wait()
        if self.tokens is not None:
            token = headers.get("authorization", "").removeprefix("Bearer ")
            if token not in self.tokens:
                return _send(writer, 401, _status(401, "Unauthorized", "Unauthorized"))
        for failure in self._failures:
            if (
                failure.times
                and failure.verb in (None, seen.verb)
                and seen.path.endswith(failure.path)
            ):
                failure.times -= 1
                body = _status(failure.status, failure.reason, failure.message)
                return _send(writer, failure.status, body, failure.headers)
        if seen.verb == "watch":
            return await self._watch(seen, writer)
        answer = self._answer(seen)
        if seen.writes and self._writes_until_lost:
            self._writes_until_lost -= 1
            if not self._writes_until_lost:
                return False
        return _send(writer, *answer)

    async def _watch(self, seen: Seen, writer: asyncio.StreamWriter) -> bool:
        version = seen.params.get("resourceVersion")
        watch = _Watch(seen.path, seen.params)
        if version is not None and int(version) < self._compacted:
            _send(writer, 410, _status(410, "Expired", "too old resource version"))
            return True
        collection = _all_namespaces(seen.path)
        if version is None:
            for obj in self._objects.get(collection, {}).values():
                watch.offer("ADDED", obj)
        else:
            for at, event_type, where, obj, before in self._history:
                if at > int(version) and where == collection:
                    watch.offer(event_type, obj, before)
        self._watches.add(watch)
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        try:
            while True:
                item = await watch.queue.get()
                if item == "end":
                    writer.write(b"0\r\n\r\n")
                    return True
                if item == "drop":
                    writer.write(b'5\r\n{"typ\r\n')
                    await writer.drain()
                    return False
                assert isinstance(item, bytes)
                # In two chunks: a line need not arrive at once.
                for part in (item[:20], item[20:]):
                    writer.write(b"%x\r\n%s\r\n" % (len(part), part))
                await writer.drain()
        finally:
            self._watches.discard(watch)

    def _answer(self, seen: Seen) -> tuple[int, Object]:
        target = seen.path.removesuffix("/status")
        if not _is_object(target):
            return self._create(seen) if seen.method == "POST" else self._list(seen)
        collection, name = target.rsplit("/", 1)
        key = Key(_namespace(collection), name)
        objects = self._objects.get(_all_namespaces(collection), {})
        stored = objects.get(key)
        if seen.headers.get("content-type") == APPLY_PATCH:
            return self._apply(seen, collection, stored)
        if stored is None:
            return 404, _status(404, "NotFound", f'"{name}" not found')
        if seen.method == "GET":
            return 200, stored
        if seen.method == "DELETE":
            want = (seen.body or {}).get("preconditions", {})
            metadata = stored["metadata"]
            if any(metadata[field] != value for field, value in want.items()):
                return 409, _status(409, "Conflict", "Precondition failed: UID in precondition")
            kind = _kind_of(stored, collection)
            if self.graceful and kind.kind == "Pod":
                grace = (seen.body or {}).get("gracePeriodSeconds", 30)
                self._write("MODIFIED", kind, _being_deleted(stored, grace))
            else:
                self._write("DELETED", kind, stored)
            return 200, {"kind": "Status", "status": "Success"}
        return self._patch(seen, collection, stored)

    def _patch(self, seen: Seen, collection: str, stored: Object) -> tuple[int, Object]:
        want = seen.body.get("metadata") or {}
        for precondition in ("uid", "resourceVersion"):
            if (
                want.get(precondition, stored["metadata"][precondition])
                != (stored["metadata"][precondition])
            ):
                return 409, _status(409, "Conflict", f"{precondition} does not match")
        merged = _merged(stored, seen.body)
        self._write("MODIFIED", _kind_of(stored, collection), merged)
        return 200, merged

    def _apply(self, seen: Seen, collection: str, stored: Object | None) -> tuple[int, Object]:
        kind, manager = _kind_of(seen.body, collection), seen.params["fieldManager"]
        if stored is None:
            made = self.put(kind, seen.body)
            self._applied[made["metadata"]["uid"], manager] = seen.body
            return 201, made
        owned = (stored["metadata"]["uid"], manager)
        kept = _without(stored, self._applied.get(owned, {}), seen.body)
        self._applied[owned] = seen.body
        merged: Object = _merged(kept, seen.body)
        if merged != stored:
            self._write("MODIFIED", kind, merged)
        return 200, merged

    def _create(self, seen: Seen) -> tuple[int, Object]:
        obj = seen.body
        obj["metadata"].setdefault("namespace", _namespace(seen.path))
        kind = _kind_of(obj, seen.path)
        if key_of(obj) in self._kind(kind):
            return 409, _status(409, "AlreadyExists", f"{key_of(obj)} already exists")
        if seen.params.get("dryRun"):
            return 201, obj
        return 201, self.put(kind, obj)

    def _list(self, seen: Seen) -> tuple[int, Object]:
        token = seen.params.get("continue")
        if token is None:
            items = [
                obj
                for obj in self._objects.get(_all_namespaces(seen.path), {}).values()
                if _matches(obj, seen.params) and obj_in(seen.path, obj)
            ]
        elif token in self._pages and not self.expire_pages:
            items = self._pages.pop(token)
        else:
            return 410, _status(410, "Expired", "the continue token is too old")
        limit = int(seen.params.get("limit", len(items) + 1))
        metadata = {"resourceVersion": str(self._version)}
        if len(items) > limit:
            metadata["continue"] = str(uuid.uuid4())
            self._pages[metadata["continue"]] = items[limit:]
        # Items of a list carry neither kind nor apiVersion.
        bare = [
            {name: value for name, value in obj.items() if name not in ("kind", "apiVersion")}
            for obj in items[:limit]
        ]
        return 200, {"kind": "List", "metadata": metadata, "items": bare}


def obj_in(collection: str, obj: Object) -> bool:
    """Return whether an object belongs to a collection, by its namespace."""
    return _namespace(collection) in ("", obj["metadata"].get("namespace", ""))


def _send(
    writer: asyncio.StreamWriter,
    status: int,
    body: Object,
    headers: dict[str, str] | None = None,
) -> bool:
    content = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} X", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + content)
    return True


def _status(code: int, reason: str, message: str) -> Object:
    return {
        "kind": "Status",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


def _line(event_type: str, obj: Object) -> bytes:
    # As Go does: not escaped beyond what JSON asks for.
    return json.dumps({"type": event_type, "object": obj}, ensure_ascii=False).encode() + b"\n"


def _segments(target: str) -> list[str]:
    parts = target.strip("/").split("/")
    return parts[2:] if parts[0] == "api" else parts[3:]


def _is_object(target: str) -> bool:
    parts = _segments(target)
    return (len(parts) in (2, 4) and parts[0] != "namespaces") or len(parts) >= 4


def _namespace(collection: str) -> str:
    parts = _segments(collection)
    return parts[1] if parts[0] == "namespaces" and len(parts) > 2 else ""


def _all_namespaces(collection: str) -> str:
    namespace = _namespace(collection)
    return collection.replace(f"/namespaces/{namespace}/", "/", 1) if namespace else collection


def _kind_of(obj: Object, collection: str) -> Kind:
    group, _, version = obj["apiVersion"].rpartition("/")
    return Kind(group, version, obj["kind"], collection.rsplit("/", 1)[1])


def _matches(obj: Object, params: dict[str, str]) -> bool:
    labels = obj["metadata"].get("labels") or {}
    for term in filter(None, params.get("labelSelector", "").split(",")):
        name, _, value = term.partition("=")
        if labels.get(name) != value:
            return False
    for term in filter(None, params.get("fieldSelector", "").split(",")):
        path, _, value = term.partition("=")
        part, _, field = path.partition(".")
        if (obj.get(part) or {}).get(field) != value:
            return False
    return True


def _being_deleted(pod: Object, grace_seconds: int) -> Object:
    deleted = copy.deepcopy(pod)
    deleted["metadata"] |= {
        "deletionTimestamp": "2026-11-24T18:00:00Z",
        "deletionGracePeriodSeconds": grace_seconds,
    }
    return deleted


def _without(base: Any, before: Any, now: Any) -> Any:
    """Return ``base`` without the fields that are in ``before`` and not in ``now``."""
    if not (isinstance(base, dict) and isinstance(before, dict) and isinstance(now, dict)):
        return base
    return {
        name: _without(value, before.get(name), now.get(name))
        for name, value in base.items()
        if name in now or name not in before
    }


def _merged(base: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    merged = dict(base) if isinstance(base, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merged(merged.get(name), value)
    return copy.deepcopy(merged)
