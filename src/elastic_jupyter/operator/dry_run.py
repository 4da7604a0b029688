"""Would a kernel of this kind be accepted? Asks the API server, which makes nothing."""

from elastic_jupyter.api.base import ObjectMeta
from elastic_jupyter.api.kernel import JupyterKernel, KernelSpec
from elastic_jupyter.api.kernelspec import JupyterKernelSpec
from elastic_jupyter.api.kerneltemplate import JupyterKernelTemplate
from elastic_jupyter.errors import Forbidden, Invalid
from elastic_jupyter.kube.client import Client
from elastic_jupyter.kube.kinds import POD
from elastic_jupyter.operator.objects.kernel import make_pod
from elastic_jupyter.policy import refusals
from elastic_jupyter.policy.compose import compose
from elastic_jupyter.policy.images import Images
from elastic_jupyter.policy.report import READY, Condition
from elastic_jupyter.runtime.controller import DONE, Result

#: Quotas, policies and rights change without a word to us, and a kernel spec is no kernel: seconds.
_RETRY = 30.0


def result(ready: Condition) -> Result:
    """Return when to ask again."""
    return Result(_RETRY) if ready.reason in refusals.REASONS else DONE


async def ready(
    client: Client,
    ours: Images,
    *,
    namespace: str,
    spec: JupyterKernelSpec | None = None,
    template: JupyterKernelTemplate | None = None,
) -> Condition:
    """Return the condition Ready of what a kernel is made from.

    False with the API server's words when it refuses the pod: 422 as ``Invalid``, 403 as in
    ``policy.refusals``.
    """
    try:
        kernel = JupyterKernel(
            metadata=ObjectMeta(name="dry-run", namespace=namespace, uid="dry-run"),
            spec=KernelSpec(template=compose(spec, template, default_image=ours.kernel, env={})),
        )
        await client.create(POD, make_pod(kernel, epoch=1, ours=ours), dry_run=True)
    except Invalid as error:
        return Condition(READY, False, error.reason, str(error))
    except Forbidden as error:
        return Condition(READY, False, refusals.judge(str(error)).reason, str(error))
    return Condition(READY, True, "Accepted")
