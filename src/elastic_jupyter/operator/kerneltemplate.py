"""JupyterKernelTemplate: says whether the API server takes its pod, and what became labels.

It has no children. Writes the status. Woken by the template alone.
"""

from collections.abc import Iterator, Mapping

from elastic_jupyter.api.kerneltemplate import JupyterKernelTemplate
from elastic_jupyter.kube.client import Client
from elastic_jupyter.kube.kinds import JUPYTER_KERNEL_TEMPLATE, Key, Object
from elastic_jupyter.operator import dry_run
from elastic_jupyter.operator.objects import common
from elastic_jupyter.operator.reporter import Reporter
from elastic_jupyter.policy.images import Images
from elastic_jupyter.policy.report import Condition
from elastic_jupyter.runtime.controller import DONE, Result
from elastic_jupyter.store.parsing import parse


class KernelTemplateReconciler:
    """Reports on JupyterKernelTemplates."""

    def __init__(
        self,
        *,
        client: Client,
        templates: Mapping[Key, Object],
        reporter: Reporter,
        images: Images,
    ) -> None:
        self._client = client
        self._templates = templates
        self._reporter = reporter
        self._images = images

    async def reconcile(self, key: Key) -> Result:
        """Look at one template once."""
        found = self._templates.get(key)
        if found is None:
            return DONE
        template = parse(JupyterKernelTemplate, found)
        ready = await dry_run.ready(
            self._client, self._images, namespace=key.namespace, template=template
        )
        said = [ready, *_remarks(template)]
        await self._reporter.report(JUPYTER_KERNEL_TEMPLATE, template, template.status, said)
        return dry_run.result(ready)


def _remarks(template: JupyterKernelTemplate) -> Iterator[Condition]:
    lifted = common.lifted(template.spec.template)
    if lifted:
        text = f"unknown keys of spec.template.metadata became labels: {', '.join(lifted)}"
        yield Condition("LabelsLifted", True, "UnknownMetadata", text)
