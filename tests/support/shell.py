"""A shell in which somebody types ``elastic-jupyter``."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from subprocess import CompletedProcess

COMMAND = str(Path(sys.executable).with_name("elastic-jupyter"))


class Shell:
    """``environment`` says which kernels are meant; nothing else of the command's does."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        kept = {name: value for name, value in os.environ.items() if "ELASTIC" not in name}
        self.environment = {**kept, **environment}

    def types(self, *arguments: str, within: float = 30) -> CompletedProcess[str]:
        """Type the command with these arguments, and return what came of it."""
        return subprocess.run(
            [COMMAND, *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=within,
        )

    def reads(self, *arguments: str) -> str:
        """Type the same; return what is printed, and check that nothing is wrong."""
        done = self.types(*arguments)
        assert (done.returncode, done.stderr) == (0, ""), f"{arguments}: {done}"
        return done.stdout
