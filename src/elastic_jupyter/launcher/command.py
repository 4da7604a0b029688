"""The command ``kubeflow-launcher``: flags in, a JupyterKernel or one sentence out."""

import asyncio
import os

import click

from elastic_jupyter import logs
from elastic_jupyter.api.kerneltemplate import JupyterKernelTemplate
from elastic_jupyter.errors import (
    AlreadyExists,
    ConfigError,
    ElasticJupyterError,
    Invalid,
    LaunchFailed,
    NotFound,
    Unavailable,
)
from elastic_jupyter.kube.client import Client
from elastic_jupyter.kube.kinds import JUPYTER_GATEWAY, JUPYTER_KERNEL, JUPYTER_KERNEL_TEMPLATE, Key
from elastic_jupyter.launcher import launch
from elastic_jupyter.launcher.kernel import make_kernel
from elastic_jupyter.launcher.launch import Launch
from elastic_jupyter.store.parsing import parse

FIELD_MANAGER = "kubeflow-launcher"

log = logs.get(__name__)


_FLAGS = {
    launch.KERNEL_ID: ("ID", "Id of the kernel."),
    launch.PORT_RANGE: (
        "LOW..HIGH",
        "Ports that the kernel may use; its container sees EG_PORT_RANGE.",
    ),
    launch.RESPONSE_ADDRESS: (
        "HOST:PORT",
        "Where the kernel sends its connection file; its container sees EG_RESPONSE_ADDRESS.",
    ),
    launch.PUBLIC_KEY: (
        "BASE64",
        "Key that the connection file is encrypted for; its container sees EG_PUBLIC_KEY.",
    ),
    launch.SPARK_CONTEXT_INIT_MODE: (
        "MODE",
        "How a Spark context is made; the container sees KERNEL_SPARK_CONTEXT_INIT_MODE.",
    ),
    launch.TEMPLATE_NAME: ("NAME", "The JupyterKernelTemplate that gives the pod."),
    launch.TEMPLATE_NAMESPACE: ("NAMESPACE", "Namespace of the JupyterKernelTemplate."),
}


class WrongSetting(click.ClickException):
    """A flag or variable is wrong; other failures exit with 1."""

    exit_code = 2


def _parameter(flag: str) -> str:
    """Return the name under which click hands over a flag."""
    return flag.strip("-").rpartition(".")[2].replace("-", "_")


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    params=[
        *(
            click.Option([flag, _parameter(flag)], default="", metavar=metavar, help=text)
            for flag, (metavar, text) in _FLAGS.items()
        ),
        click.Option(["--verbose"], is_flag=True, help="Say on stderr what is done."),
        # The original has it, without effect.
        click.Option(["-t", "--toggle"], is_flag=True, hidden=True, expose_value=False),
    ],
)
def command(*, verbose: bool, **given: str) -> None:
    """Launch a kernel of Enterprise Gateway as a JupyterKernel.

    \b
    From the environment:
      EG_NAME, EG_NAMESPACE  the JupyterGateway that owns the kernel
      KERNEL_NAMESPACE       where the kernel runs: EG_NAMESPACE, which is the default
      KERNEL_POD_NAME        name of the JupyterKernel and of its pod;
                             default: <KERNEL_USERNAME, or jovyan>-<kernel id>
      KERNEL_USERNAME        name of the user
      KERNEL_IMAGE           image; wins over the template's
      KERNEL_NAME            name of the kernel spec
      KERNEL_LANGUAGE        passed on to the container, as KERNEL_NAME is

    Exit status: 1 when the kernel could not be made, 2 when a flag or variable is wrong.
    """
    logs.configure("DEBUG" if verbose else "INFO")
    try:
        wanted = Launch.read({flag: given[_parameter(flag)] for flag in _FLAGS}, os.environ)
    except ConfigError as error:
        raise WrongSetting(str(error)) from error
    try:
        asyncio.run(_launch(wanted))
    except ElasticJupyterError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"JupyterKernel {wanted.key} created")


async def _launch(wanted: Launch) -> None:
    """Create the object. Raises ``ElasticJupyterError`` with a sentence for whoever launched."""
    async with Client.from_environment() as client:
        try:
            template = await _template(client, wanted.template)
            uid = wanted.gateway_uid or await _gateway_uid(
                client, Key(wanted.key.namespace, wanted.gateway)
            )
        except Unavailable as error:
            raise LaunchFailed(f"the API server gives no usable answer: {error}") from error
        try:
            kernel = make_kernel(wanted, template, gateway_uid=uid)
        except Invalid as error:
            text = f"JupyterKernelTemplate {wanted.template} is no pod: {error}"
            raise LaunchFailed(text) from error
        log.debug(
            "launching", kernel=wanted.key, template=wanted.template, env=",".join(wanted.env)
        )
        try:
            await client.create(JUPYTER_KERNEL, kernel.to_dict(), field_manager=FIELD_MANAGER)
        except AlreadyExists as error:
            namespace, name = wanted.key
            raise LaunchFailed(
                f"JupyterKernel {name} exists already in namespace {namespace}; delete it "
                f"(kubectl delete jupyterkernel {name} -n {namespace}) or name another one "
                "(KERNEL_POD_NAME)"
            ) from error
        except Unavailable as error:
            text = f"the API server gives no usable answer, the kernel may exist or not: {error}"
            raise LaunchFailed(text) from error


async def _template(client: Client, key: Key) -> JupyterKernelTemplate:
    try:
        found = await client.get(JUPYTER_KERNEL_TEMPLATE, *key)
    except NotFound as error:
        raise LaunchFailed(
            f"there is no JupyterKernelTemplate {key.name} in namespace {key.namespace} "
            f"({launch.TEMPLATE_NAME}, {launch.TEMPLATE_NAMESPACE})"
        ) from error
    return parse(JupyterKernelTemplate, found)


async def _gateway_uid(client: Client, key: Key) -> str:
    try:
        found = await client.get(JUPYTER_GATEWAY, *key)
    except NotFound as error:
        raise LaunchFailed(
            f"there is no JupyterGateway {key.name} in namespace {key.namespace} to own the kernel "
            "(EG_NAME, EG_NAMESPACE)"
        ) from error
    return str(found["metadata"]["uid"])


if __name__ == "__main__":
    command()
