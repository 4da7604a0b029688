"""``python -m tests.unit.agent.snapshot.child save|restore FOLDER``: one side of the table.

Each case has a namespace of its own in one shell; the other side is another process. What it saw
is printed in JSON, one line a case, since some library may end the process.
"""

import ast
import gc
import json
import sys
import traceback
from pathlib import Path
from typing import Any

from IPython.core.history import HistoryManager
from IPython.core.interactiveshell import InteractiveShell

from elastic_jupyter_agent import snapshot, wire


class Folder:
    """A sink and a source in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.puts = 0
        root.mkdir(parents=True, exist_ok=True)

    def has(self, digest: str) -> bool:
        return (self.root / digest).exists()

    def put(self, digest: str, data: bytes | memoryview) -> None:
        self.puts += len(data)
        (self.root / digest).write_bytes(data)

    def get(self, digest: str) -> bytes:
        return (self.root / digest).read_bytes()

    def read_into(self, digest: str, view: memoryview) -> int:
        with (self.root / digest).open("rb", 0) as file:
            return file.readinto(view) or 0


def a_shell() -> Any:
    """An IPython shell as a kernel has one, without its database."""
    HistoryManager.enabled = False
    return InteractiveShell.instance()


def run(shell: Any, code: str) -> Any:
    """Run the code in the shell's namespace; return the value where it ends with an expression."""
    tree = ast.parse(code)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), shell.user_ns)
    if last is None:
        return None
    assert isinstance(last, ast.Expr)
    return eval(compile(ast.Expression(last.value), "<cell>", "eval"), shell.user_ns)


def save(shell: Any, code: str, folder: Path) -> dict[str, Any]:
    run(shell, code)
    saved = snapshot.save(shell, Folder(folder))
    (folder / "manifest").write_text(saved.manifest.to_json())
    return {"lost": [vars(lost) for lost in saved.manifest.lost], "names": saved.manifest.names}


def restore(shell: Any, check: str, folder: Path) -> dict[str, Any]:
    manifest = wire.Manifest.from_json((folder / "manifest").read_text())
    report = snapshot.restore(shell, manifest, Folder(folder))
    lost = [vars(lost) for lost in report.lost]
    seen = {"lost": lost, "restored": report.restored, "notices": report.notices}
    return seen | {"holds": bool(run(shell, check)) if check else None}


def main(side: str, root: Path) -> None:
    shell = a_shell()
    for case in json.loads((root / "cases.json").read_text()):
        gc.freeze()  # or each reset looks through all libraries for garbage
        shell.reset()
        folder = root / "snapshots" / case["id"]
        try:
            if side == "save":
                seen = save(shell, case["code"], folder)
            else:
                seen = restore(shell, case["check"], folder)
        except BaseException:
            seen = {"raised": traceback.format_exc()}
        print(json.dumps({"id": case["id"]} | seen), file=sys.__stdout__, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
