"""Users of a cluster, with the rights that they are given and a kubeconfig of their own."""

import json
import os
import uuid
from pathlib import Path
from typing import Any

import yaml

from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.shell import Shell

Rules = list[dict[str, Any]]


def a_person(cluster: Cluster, namespace: str, rules: Rules, folder: Path) -> Shell:
    """Return the shell of somebody who has these rights in a namespace, and files in ``folder``.

    The kubeconfig is in two files, as kubectl takes them: how the cluster is reached, and who asks,
    in the context ``work``.
    """
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
    if rules:  # the API server hears of a binding as any other client does
        who = f"--as=system:serviceaccount:{namespace}:{name}"
        asked = rules[0]["verbs"][0], rules[0]["resources"][0], who, *in_it
        eventually(lambda: is_granted(cluster, *asked), bool, within=20, what="the new rights")
    token = cluster.kubectl("create", "token", name, *in_it).strip()
    shown = cluster.kubectl("config", "view", "--raw", "--minify", "--flatten", "-o", "json")
    [entry] = json.loads(shown)["clusters"]
    context = {"cluster": entry["name"], "user": "me", "namespace": namespace}
    parts = {
        "cluster": {"clusters": [entry]},
        "me": {
            "users": [{"name": "me", "user": {"token": token}}],
            "contexts": [{"name": "work", "context": context}],
            "current-context": "work",
        },
    }
    for part, content in parts.items():
        (folder / part).write_text(yaml.safe_dump(content))
    files = os.pathsep.join(str(folder / part) for part in (*parts, "not-there"))
    return Shell({"KUBECONFIG": files, "HOME": str(folder), "XDG_STATE_HOME": str(folder)})


def is_granted(cluster: Cluster, *asked: str) -> bool:
    """Whether ``kubectl auth can-i`` says so."""
    try:
        return cluster.kubectl("auth", "can-i", *asked).strip() == "yes"
    except AssertionError:  # no, with exit status 1
        return False
