"""JupyterKernelSpec: says whether kernels of it can be started, and what of it is not taken.

It has no children: gateways read it themselves. Writes the status. Woken by the spec and by the
JupyterKernelTemplate that it names.
"""

from collections.abc import Iterator, Mapping

from elastic_jupyter.api.kernelspec import JupyterKernelSpec
from elastic_jupyter.api.kerneltemplate import JupyterKernelTemplate
from elastic_jupyter.kube.client import Client
from elastic_jupyter.kube.kinds import JUPYTER_KERNEL_SPEC, Key, Object
from elastic_jupyter.operator import dry_run
from elastic_jupyter.operator.reporter import Reporter
from elastic_jupyter.policy import compose, images
from elastic_jupyter.policy.images import Images
from elastic_jupyter.policy.report import READY, Condition, image_replaced, new_replacements
from elastic_jupyter.runtime.controller import DONE, Result
from elastic_jupyter.store.parsing import parse


class KernelSpecReconciler:
    """Reports on JupyterKernelSpecs."""

    def __init__(
        self,
        *,
        client: Client,
        specs: Mapping[Key, Object],
        templates: Mapping[Key, Object],
        reporter: Reporter,
        images: Images,
    ) -> None:
        self._client = client
        self._specs = specs
        self._templates = templates
        self._reporter = reporter
        self._images = images

    async def reconcile(self, key: Key) -> Result:
        """Look at one kernel spec once."""
        found = self._specs.get(key)
        if found is None:
            return DONE
        spec = parse(JupyterKernelSpec, found)
        ready = await self._ready(key, spec)
        said = [ready, *self._remarks(spec)]
        events = new_replacements(said, spec.status)
        await self._reporter.report(JUPYTER_KERNEL_SPEC, spec, spec.status, said, events=events)
        return dry_run.result(ready)

    async def _ready(self, key: Key, spec: JupyterKernelSpec) -> Condition:
        template = None
        reference = spec.spec.template
        if reference is not None:
            if reference.namespace not in (None, key.namespace):
                text = f"spec.template.namespace: a template must be in namespace {key.namespace}"
                return Condition(READY, False, "TemplateElsewhere", text)
            found = self._templates.get(Key(key.namespace, reference.name))
            if found is None:
                text = f"spec.template: there is no JupyterKernelTemplate {reference.name}"
                return Condition(READY, False, "TemplateNotFound", text)
            template = parse(JupyterKernelTemplate, found)
        return await dry_run.ready(
            self._client, self._images, namespace=key.namespace, spec=spec, template=template
        )

    def _remarks(self, spec: JupyterKernelSpec) -> Iterator[Condition]:
        choice = images.kernel(spec.spec.image, self._images)
        if choice.replaced:
            yield image_replaced(choice)
        command = list(spec.spec.command or ())
        if compose.is_gateway_side_launcher(command):
            text = "spec.command is a launcher of Enterprise Gateway: the gateway launches itself"
            yield Condition("CommandIgnored", True, "OriginalLauncher", text)
