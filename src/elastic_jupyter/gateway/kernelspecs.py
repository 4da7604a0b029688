"""The kernel specs that a gateway offers: JupyterKernelSpec objects and the built-in Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel

from elastic_jupyter.api.kernelspec import JupyterKernelSpec
from elastic_jupyter.errors import Invalid
from elastic_jupyter.policy.compose import DEFAULT_ARGV, compose
from elastic_jupyter.store.protocol import Catalog

BUILT_IN = "python3"
#: The name that the original's gateways ask for.
BUILT_IN_ALIAS = "python_kubernetes"


class CatalogKernelSpecManager(KernelSpecManager):
    """Kernel specs from the store's catalog instead of directories (jupyter_client 8.10)."""

    catalog: Catalog
    offered: tuple[str, ...] = ()

    def bind(self, catalog: Catalog, *, offered: Iterable[str]) -> None:
        """Set where specs come from; ``offered`` empty means all of them and the built-in."""
        self.catalog = catalog
        self.offered = tuple(offered)

    def names(self) -> set[str]:
        """Return the names on offer."""
        known = {BUILT_IN, *self.catalog.specs}
        if not self.offered:
            return known
        return {self._canonical(name) for name in self.offered} & known

    def knows(self, name: str) -> bool:
        """Say whether a kernel of this name can be started."""
        return self._canonical(name) in self.names()

    def _canonical(self, name: str) -> str:
        if name == BUILT_IN_ALIAS and name not in self.catalog.specs:
            return BUILT_IN
        return name

    def pod_template(
        self, name: str, *, default_image: str, env: Mapping[str, str]
    ) -> dict[str, Any] | None:
        """Return the PodTemplateSpec of a kernel of this name, or None when it is not known.

        Raises ``Invalid`` when the spec's template does not exist, or is no pod.
        """
        name = self._canonical(name)
        spec = self.catalog.specs.get(name)
        if spec is None and name != BUILT_IN:
            return None
        template = None
        reference = spec.spec.template if spec else None
        if spec is not None and reference is not None:
            template = self.catalog.templates.get(reference.name)
            if template is None or reference.namespace not in (None, spec.metadata.namespace):
                raise Invalid(
                    f"kernel spec {name}: there is no JupyterKernelTemplate {reference.name} in "
                    f"namespace {spec.metadata.namespace}"
                )
        return compose(spec, template, default_image=default_image, env=env)

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return one spec. Raises ``NoSuchKernel``."""
        name = self._canonical(kernel_name)
        if name not in self.names():
            raise NoSuchKernel(kernel_name)
        return kernel_spec(self.catalog.specs.get(name))

    def find_kernel_specs(self) -> dict[str, str]:
        """Return the names on offer; there are no directories."""
        return dict.fromkeys(self.names(), "")

    def get_all_specs(self) -> dict[str, Any]:
        """Return what ``GET /api/kernelspecs`` shows."""
        return {
            name: {
                "resource_dir": "",
                "spec": kernel_spec(self.catalog.specs.get(name)).to_dict(),
            }
            for name in sorted(self.names())
        }


def kernel_spec(spec: JupyterKernelSpec | None) -> KernelSpec:
    """Return Jupyter's form of a JupyterKernelSpec; None is the built-in Python kernel."""
    wanted = spec.spec if spec else None
    name = spec.metadata.name if spec else None
    return KernelSpec(
        argv=list(DEFAULT_ARGV),
        display_name=(wanted.display_name if wanted else None) or name or "Python 3",
        language=(wanted.language if wanted else None) or "python",
        interrupt_mode="message",
        metadata={"kernel_provisioner": {"provisioner_name": "elastic-jupyter"}},
    )
