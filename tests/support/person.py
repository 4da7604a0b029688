"""Somebody at a shell, with ``elastic-jupyter`` and the rights that he was given."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Self

import yaml

from tests.support.cluster import Cluster

Rules = list[dict[str, Any]]


class Person:
    """A user of the cluster.

    The kubeconfig is in two files, as kubectl takes them: how the cluster is reached, and who asks.
    """

    def __init__(self, folder: Path, cluster: dict[str, Any], *, token: str, namespace: str):
        self._home = folder
        context = {"cluster": "here", "user": "me", "namespace": namespace}
        parts = {
            "cluster": {"clusters": [{"name": "here", "cluster": cluster}]},
            "me": {
                "users": [{"name": "me", "user": {"token": token}}],
                "contexts": [{"name": "work", "context": context}],
                "current-context": "work",
            },
        }
        for name, part in parts.items():
            (folder / name).write_text(yaml.safe_dump(part))
        files = (*parts, "not-there")
        self._kubeconfig = os.pathsep.join(str(folder / name) for name in files)

    @classmethod
    def with_rights(cls, cluster: Cluster, namespace: str, rules: Rules, folder: Path) -> Self:
        """Make a person who has these rights in a namespace, and keeps his files in ``folder``."""
        name = f"person-{uuid.uuid4().hex[:6]}"
        role = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": name},
            "rules": rules,
        }
        in_it = ("-n", namespace)
        cluster.kubectl("create", "serviceaccount", name, *in_it)
        cluster.apply(namespace, role)
        account = f"--serviceaccount={namespace}:{name}"
        cluster.kubectl("create", "rolebinding", name, f"--role={name}", account, *in_it)
        token = cluster.kubectl("create", "token", name, *in_it).strip()
        shown = cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json")
        [entry] = json.loads(shown)["clusters"]
        return cls(folder, entry["cluster"], token=token, namespace=namespace)

    def types(self, *arguments: str, within: float = 30) -> CompletedProcess[str]:
        """Type ``elastic-jupyter`` with these arguments, and return what came of it."""
        return subprocess.run(
            [str(Path(sys.executable).with_name("elastic-jupyter")), *arguments],
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

    @property
    def environment(self) -> dict[str, str]:
        """Of a shell in which nothing but the kubeconfig says what is meant."""
        kept = {name: value for name, value in os.environ.items() if "ELASTIC" not in name}
        return kept | {
            "KUBECONFIG": self._kubeconfig,
            "HOME": str(self._home),
            "XDG_STATE_HOME": str(self._home),
        }
