"""A notebook's files: the claim for its volume, and the volume in its pods and its kernels'."""

import posixpath
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from elastic_jupyter.api import names
from elastic_jupyter.api.notebook import JupyterNotebook, Storage
from elastic_jupyter.api.volume import AccessMode
from elastic_jupyter.errors import Invalid
from elastic_jupyter.kube.kinds import Object
from elastic_jupyter.operator.objects import common
from elastic_jupyter.policy import quantity
from elastic_jupyter.policy.compose import unescaped

#: Where the volume is, in notebook servers and kernels alike: the home folder of our images and of
#: Jupyter's own.
HOME = "/home/jovyan"
#: A notebook server says with it in which folder the notebook lies that wants a kernel.
_WORKING_DIRECTORY = "KERNEL_WORKING_DIR"
_VOLUME = "elastic-jupyter-storage"
_RUNTIME_VOLUME = "elastic-jupyter-runtime"
#: Where a Jupyter server writes down its address and token for tools of its own pod.
_RUNTIME_VARIABLE = "JUPYTER_RUNTIME_DIR"


def claim_name(notebook: JupyterNotebook) -> str:
    """Return the name of the claim that holds the files of a notebook with storage."""
    return _storage(notebook).claim_name or names.storage_claim_name(notebook.metadata.name or "")


def make_claim(notebook: JupyterNotebook) -> Object | None:
    """Return the claim to make, None where the notebook names one that exists.

    It has no owner: the files of a deleted notebook stay until somebody deletes the claim.
    """
    storage = _storage(notebook)
    if storage.claim_name:
        return None
    metadata = notebook.metadata
    spec: Object = {
        "accessModes": [storage.access_mode or AccessMode.READ_WRITE_ONCE],
        "resources": {"requests": {"storage": storage.size}},
    }
    if storage.class_name:
        spec["storageClassName"] = storage.class_name
    return {
        "metadata": {
            "name": claim_name(notebook),
            "namespace": metadata.namespace,
            "labels": common.labels(names.APP_NOTEBOOK, metadata.name or ""),
        },
        "spec": spec,
    }


def growth(notebook: JupyterNotebook, claim: Object) -> str | None:
    """Return the size that ``claim`` has to grow to, None where it is as large as it should be."""
    wanted = _storage(notebook).size or ""
    return wanted if _amount(wanted) > _amount(size(claim)) else None


def unreachable(notebook: JupyterNotebook, claim: Object) -> Iterator[str]:
    """Yield, by the name of the field, what is asked of ``claim`` and it can never become."""
    storage, spec, now = _storage(notebook), claim.get("spec") or {}, size(claim)
    if _amount(storage.size or "") < _amount(now):
        yield f"spec.storage.size {storage.size} is less than its {now}, and no volume shrinks"
    class_name, modes = spec.get("storageClassName"), spec.get("accessModes") or []
    if storage.class_name and storage.class_name != class_name:
        yield f"spec.storage.className is {storage.class_name}, its class {class_name}"
    if storage.access_mode and storage.access_mode not in modes:
        yield f"spec.storage.accessMode is {storage.access_mode}, its mode {', '.join(modes)}"


def size(claim: Object) -> str:
    """Return the size that a claim asks for."""
    resources = (claim.get("spec") or {}).get("resources") or {}
    return str((resources.get("requests") or {}).get("storage", ""))


def shared_claim(notebook: JupyterNotebook) -> str | None:
    """Return the claim that the kernels of a notebook have, too; None: they have none."""
    storage = notebook.spec.storage
    if storage is None or storage.share_with_kernels is False:
        return None
    return claim_name(notebook)


def mount(spec: Object, container: Object, *, claim: str) -> None:
    """Mount the volume of ``claim`` as the home folder of the first container of the pod ``spec``.

    Raises ``Invalid`` where the template has put something else there.
    """
    for index, given in enumerate(container.get("volumeMounts") or ()):
        path = given.get("mountPath") if isinstance(given, dict) else None
        if isinstance(path, str) and posixpath.normpath(path) == HOME:
            raise Invalid(
                f"spec.template.spec.containers[0].volumeMounts[{index}].mountPath: {HOME} is "
                "where the files of the notebook's spec.storage are; mount it elsewhere, or keep "
                "them out of kernels with the notebook's spec.storage.shareWithKernels: false"
            )
    spec["volumes"] = [
        *(spec.get("volumes") or []),
        {"name": _VOLUME, "persistentVolumeClaim": {"claimName": claim}},
    ]
    container["volumeMounts"] = [
        *(container.get("volumeMounts") or []),
        {"name": _VOLUME, "mountPath": HOME},
    ]
    # A group that all pods with the volume have; an own one of the template stays.
    security = spec.setdefault("securityContext", {})
    if isinstance(security, dict) and "fsGroup" not in security:
        security |= {"fsGroup": common.USER, "fsGroupChangePolicy": "OnRootMismatch"}


def keep_runtime_apart(spec: Object, container: Object) -> None:
    """Keep what a Jupyter server writes of itself, with its token, off the volume.

    Kernels would read it there, and it would stay after the pod. A folder that the template names
    stays.
    """
    if any(entry["name"] == _RUNTIME_VARIABLE for entry in container.get("env") or ()):
        return
    spec["volumes"] = [*(spec.get("volumes") or []), {"name": _RUNTIME_VOLUME, "emptyDir": {}}]
    container["volumeMounts"] = [
        *(container.get("volumeMounts") or []),
        {"name": _RUNTIME_VOLUME, "mountPath": names.RUNTIME_DIRECTORY},
    ]
    common.with_env(container, {"name": _RUNTIME_VARIABLE, "value": names.RUNTIME_DIRECTORY})


def start_in_folder(container: Object) -> None:
    """Let a kernel that has the volume start in the folder of its notebook."""
    container.setdefault("workingDir", _folder(container))


def _folder(container: Object) -> str:
    for entry in container.get("env") or ():
        value: Any = entry.get("value")
        if entry["name"] == _WORKING_DIRECTORY and isinstance(value, str):
            folder = posixpath.normpath(unescaped(value))
            if folder == HOME or folder.startswith(f"{HOME}/"):
                return folder
    return HOME


def _amount(text: str) -> Fraction:
    return quantity.parse(text) or Fraction(0)


def _storage(notebook: JupyterNotebook) -> Storage:
    storage = notebook.spec.storage
    assert storage is not None  # asked only for notebooks that have it
    return storage
