"""Answers the kubelet's question whether the operator's event loop still turns.

It says nothing of the API server: an operator that waits for it mends nothing by a restart.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

#: ``livenessProbe`` in deploy/operator/deployment.yaml asks here.
PORT = 8081

#: Seconds for a client to send its request.
_PATIENCE = 5.0
_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"


@contextlib.asynccontextmanager
async def serving(port: int = PORT) -> AsyncIterator[asyncio.Server]:
    """Answer every HTTP request on all addresses with 200 while the block runs.

    Raises ``OSError`` when the port is taken.
    """
    answers: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers.add(task := asyncio.create_task(_answer(reader, writer)))
        task.add_done_callback(answers.discard)

    server = await asyncio.start_server(connected, port=port)
    try:
        yield server
    finally:
        server.close()
        for task in answers:
            task.cancel()
        await asyncio.gather(*answers, return_exceptions=True)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    # A client that goes away, says nothing or too much gets no answer, and no line in the log.
    with contextlib.suppress(OSError, EOFError, asyncio.LimitOverrunError):
        try:
            async with asyncio.timeout(_PATIENCE):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(_ANSWER)
                await writer.drain()
        finally:
            writer.close()
            await writer.wait_closed()
