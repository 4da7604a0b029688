"""Which notebooks a gateway serves: those that name it, from a namespace that it allows."""

from collections.abc import Iterator, Mapping

from elastic_jupyter.api.gateway import JupyterGateway
from elastic_jupyter.kube.kinds import Key, Object
from elastic_jupyter.policy import admission


class Admission:
    """Answers from the caches of notebooks and namespaces."""

    def __init__(self, *, notebooks: Mapping[Key, Object], namespaces: Mapping[Key, Object]):
        self._notebooks = notebooks
        self._namespaces = namespaces

    def admits(self, gateway: JupyterGateway, namespace: str) -> bool:
        """Say whether the gateway serves notebooks of this namespace."""
        found = self._namespaces.get(Key("", namespace)) or {}
        return admission.admits(
            gateway.spec.allowed_namespaces,
            gateway=gateway.metadata.namespace or "",
            notebook=namespace,
            labels=found.get("metadata", {}).get("labels") or {},
        )

    def served(self, gateway: JupyterGateway) -> list[str]:
        """Return the uids of the notebooks that the gateway serves, sorted."""
        key = Key(gateway.metadata.namespace or "", gateway.metadata.name or "")
        return sorted(
            notebook["metadata"]["uid"]
            for notebook in self._naming(key)
            if not notebook["metadata"].get("deletionTimestamp")
            and self.admits(gateway, notebook["metadata"]["namespace"])
        )

    def _naming(self, gateway: Key) -> Iterator[Object]:
        for notebook in self._notebooks.values():
            if gateway_named_by(notebook) == gateway:
                yield notebook


def gateway_named_by(notebook: Object | None) -> Key | None:
    """Return the gateway that a notebook names, there or not."""
    reference = ((notebook or {}).get("spec") or {}).get("gateway") or {}
    if not notebook or not reference.get("name"):
        return None
    return Key(reference.get("namespace") or notebook["metadata"]["namespace"], reference["name"])
