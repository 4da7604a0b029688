"""Questions to the agent in a kernel (``elastic_jupyter_agent.attached``): control channel.

The agent is no process: the question is a user expression of an execution without code, which any
ipykernel evaluates beside its cells, and which leaves nothing behind in it.
"""

import ast
import json
import uuid
from collections.abc import Mapping
from typing import Any

import zmq.asyncio
from jupyter_client.session import Session

from elastic_jupyter import untrusted_json
from elastic_jupyter.errors import AgentFailed, NoAgent, SnapshotBroken

#: What starts the ids of our requests: what is said about them on iopub is for nobody else.
_REQUEST = "elastic-jupyter-agent-"
#: The name that only ipykernel gives as its implementation.
_IPYKERNEL = "ipython"


def is_ours(parent: Mapping[str, Any]) -> bool:
    """Say whether a message with this parent header is about a question to the agent."""
    return str(parent.get("msg_id", "")).startswith(_REQUEST)


def require_ipykernel(kernel_info: Mapping[str, Any] | None) -> None:
    """Raise ``NoAgent`` for a kernel that cannot have one, such as one of another language."""
    said = kernel_info or {}
    if said.get("implementation") != _IPYKERNEL:
        language = (said.get("language_info") or {}).get("name") or "unknown"
        raise NoAgent(f"variables of {language} kernels cannot be saved")


async def ask(
    socket: "zmq.asyncio.Socket", session: Session, question: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the agent's answer to one of its questions; it has no limit of time.

    ``socket`` is connected to the kernel's control channel. Raises ``NoAgent``; ``AgentFailed``
    with the agent's sentence, ``SnapshotBroken`` with that about what was read.
    """
    request = _request(session, question)
    session.send(socket, request)
    while True:
        _, parts = session.feed_identities(await socket.recv_multipart())
        reply = session.deserialize(parts)
        if reply["parent_header"].get("msg_id") == request["header"]["msg_id"]:
            return _answer(reply["content"])


def _request(session: Session, question: Mapping[str, Any]) -> dict[str, Any]:
    module = '__import__("elastic_jupyter_agent.attached", fromlist=["*"])'
    message: dict[str, Any] = session.msg(
        "execute_request",
        {
            "code": "",
            "silent": True,
            "store_history": False,
            "allow_stdin": False,
            "stop_on_error": False,
            # A literal of JSON's is one of Python's.
            "user_expressions": {"answer": f"{module}.answer({json.dumps(json.dumps(question))})"},
        },
    )
    message["header"]["msg_id"] = message["msg_id"] = f"{_REQUEST}{uuid.uuid4().hex}"
    return message


def _answer(content: Mapping[str, Any]) -> dict[str, Any]:
    said = (content.get("user_expressions") or {}).get("answer") or content
    if said.get("status") != "ok":
        if said.get("ename") in ("ImportError", "ModuleNotFoundError"):
            raise NoAgent("elastic-jupyter-agent is not installed in its environment")
        raise AgentFailed(f"{said.get('ename')}: {said.get('evalue')}")
    try:
        with untrusted_json.reading():
            answer: dict[str, Any] = json.loads(ast.literal_eval(said["data"]["text/plain"]))
    except (KeyError, TypeError, ValueError, SyntaxError) as error:
        raise AgentFailed(f"its answer cannot be read: {error!r}") from error
    if answer.get("damaged"):
        raise SnapshotBroken(str(answer.get("error")))
    if "unsavable" in answer:
        raise NoAgent(str(answer["unsavable"]))
    for failure in ("error", "busy"):
        if failure in answer:
            raise AgentFailed(str(answer[failure]))
    return answer
