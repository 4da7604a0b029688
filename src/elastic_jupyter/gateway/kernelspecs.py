"""The kernel specs that a gateway offers: JupyterKernelSpec objects and the built-in Python."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from jupyter_client.kernelspec import KernelSpec, KernelSpecManager, NoSuchKernel
from traitlets import TraitError

from elastic_jupyter.api.kernelspec import JupyterKernelSpec
from elastic_jupyter.api.reclaim import ReclaimOfSpec
from elastic_jupyter.errors import Invalid
from elastic_jupyter.policy import offer
from elastic_jupyter.policy.compose import can_debug, compose, kernel_argv
from elastic_jupyter.store.protocol import Catalog

#: The folder of who has none: upstream would look into "" as the working directory.
NOWHERE = os.devnull

#: Of Jupyter's messages.
_PROTOCOL = "5.4"
#: As ipykernel says it, but for the version.
_PYTHON = {
    "name": "python",
    "version": "",
    "mimetype": "text/x-python",
    "codemirror_mode": {"name": "ipython", "version": 3},
    "pygments_lexer": "ipython3",
    "nbconvert_exporter": "python",
    "file_extension": ".py",
}


class CatalogKernelSpecManager(KernelSpecManager):
    """Kernel specs from the store's catalog instead of directories (jupyter_client 8.10)."""

    catalog: Catalog
    default_image: str | None = None
    listed: tuple[str, ...] = ()
    wanted_default: str | None = None

    def bind(
        self,
        catalog: Catalog,
        *,
        default_image: str | None,
        listed: Iterable[str],
        wanted_default: str | None = None,
    ) -> None:
        """Set where specs come from, and the gateway's ``kernels`` and ``defaultKernel``.

        ``default_image`` is of specs that name none, and of the built-in Python; None: there is no
        such kernel.
        """
        self.catalog = catalog
        self.default_image = default_image
        self.listed = tuple(listed)
        self.wanted_default = wanted_default

    def names(self) -> list[str]:
        """Return the names on offer."""
        return offer.offered(self.listed, self._known())

    def default_name(self) -> str:
        """Return the kernel that is started where none is asked for."""
        return offer.default(self.wanted_default, self.listed, self._known())

    def knows(self, name: str) -> bool:
        """Say whether a kernel of this name can be started."""
        return self._canonical(name) in self.names()

    def _known(self) -> set[str]:
        return {*self.catalog.specs, *([offer.BUILT_IN] if self.default_image else [])}

    def _canonical(self, name: str) -> str:
        return offer.canonical(name, self._known())

    def pod_template(self, name: str, *, env: Mapping[str, str]) -> dict[str, Any] | None:
        """Return the PodTemplateSpec of a kernel of this name, or None when it is not known.

        Raises ``Invalid`` when the spec's template does not exist, or is no pod.
        """
        name = self._canonical(name)
        spec = self.catalog.specs.get(name)
        if name not in self._known():
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
        return compose(spec, template, default_image=self.default_image, env=env)

    def idle_timeout(self, name: str) -> timedelta | None:
        """Return how long such a kernel may be idle; None where its spec says nothing."""
        spec = self.catalog.specs.get(self._canonical(name))
        seconds = spec.spec.cull_idle_timeout if spec else None
        return None if seconds is None else timedelta(seconds=seconds)

    def reclaim(self, name: str) -> ReclaimOfSpec:
        """Return what a spec says of its kernels' reclaim."""
        spec = self.catalog.specs.get(self._canonical(name))
        return (spec.spec.reclaim if spec else None) or ReclaimOfSpec()

    def kernel_info(self, name: str) -> dict[str, Any]:
        """Return what a kernel of this name would say of itself, as far as its spec tells.

        It is the content of a ``kernel_info_reply``, from which a front end knows the language.
        """
        spec = self._kernel_spec(self._canonical(name))
        return {
            "status": "ok",
            "protocol_version": _PROTOCOL,
            "implementation": "",
            "implementation_version": "",
            "language_info": _PYTHON if spec.language == "python" else _language(spec.language),
            "banner": spec.display_name,
            "debugger": bool(spec.metadata.get("debugger")),
            "help_links": [],
        }

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        """Return one spec. Raises ``NoSuchKernel``."""
        name = self._canonical(kernel_name)
        if name not in self.names():
            raise NoSuchKernel(kernel_name)
        return self._kernel_spec(name)

    def find_kernel_specs(self) -> dict[str, str]:
        """Return the names on offer, each with the folder of its logos."""
        return {name: self._kernel_spec(name).resource_dir for name in self.names()}

    def get_all_specs(self) -> dict[str, Any]:
        """Return what ``GET /api/kernelspecs`` shows."""
        found = {name: self._kernel_spec(name) for name in sorted(self.names())}
        return {
            name: {"resource_dir": spec.resource_dir, "spec": spec.to_dict()}
            for name, spec in found.items()
        }

    def _kernel_spec(self, name: str) -> KernelSpec:
        spec = kernel_spec(self.catalog.specs.get(name))
        folder = self.catalog.folder(name) or folders_by_language().get(spec.language.lower())
        spec.resource_dir = folder or NOWHERE
        return spec


def _language(name: str) -> dict[str, Any]:
    return {"name": name, "version": "", "mimetype": "text/plain", "file_extension": ".txt"}


@functools.cache
def folders_by_language() -> Mapping[str, str]:
    """Return the folders of the kernel specs that are installed beside the gateway.

    Of several for one language the first by name. They lend their logos to what has none.
    """
    found: dict[str, str] = {}
    for _, folder in sorted(KernelSpecManager().find_kernel_specs().items()):
        with contextlib.suppress(OSError, ValueError, TypeError, TraitError):
            language = KernelSpec.from_resource_dir(folder).language
            found.setdefault(language.lower(), folder)
    return found


def kernel_spec(spec: JupyterKernelSpec | None) -> KernelSpec:
    """Return Jupyter's form of a JupyterKernelSpec; None is the built-in Python kernel."""
    wanted = spec.spec if spec else None
    name = spec.metadata.name if spec else None
    provisioner = {"kernel_provisioner": {"provisioner_name": "elastic-jupyter"}}
    return KernelSpec(
        argv=kernel_argv(spec),
        display_name=(wanted.display_name if wanted else None) or name or "Python 3",
        language=(wanted.language if wanted else None) or "python",
        interrupt_mode="message",
        metadata=provisioner | ({"debugger": True} if can_debug(spec) else {}),
    )
