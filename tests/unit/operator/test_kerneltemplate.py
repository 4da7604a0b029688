import pytest

from elastic_jupyter.kube.kinds import JUPYTER_KERNEL_TEMPLATE, POD, Key, Object
from elastic_jupyter.operator.kerneltemplate import KernelTemplateReconciler
from tests.support.kernels import IMAGES, a_kernel_template
from tests.unit.operator.world import Pass, World

TEMPLATE = Key("team", "template")


def make(world: World) -> Pass[Key]:
    return KernelTemplateReconciler(
        client=world.client,
        templates=world.cache(JUPYTER_KERNEL_TEMPLATE),
        reporter=world.reporter(),
        images=IMAGES,
    ).reconcile


@pytest.mark.parametrize(
    ("template", "want"),
    [
        pytest.param({}, [("Ready", "True", "")], id="empty"),
        pytest.param(
            {"metadata": {"component": "kernel", "app": "course", "labels": {"a": "b"}}},
            [
                ("Ready", "True", ""),
                (
                    "LabelsLifted",
                    "True",
                    "unknown keys of spec.template.metadata became labels: app, component",
                ),
            ],
            id="labels in the wrong place",
        ),
        pytest.param(
            {"spec": {"containers": {"name": "kernel"}}},
            [("Ready", "False", "spec.template.spec.containers must be a list of objects")],
            id="no shape of a pod",
        ),
    ],
)
async def test_what_is_said_of_a_template(
    world: World, template: Object, want: list[tuple[str, str, str]]
) -> None:
    world.server.put(JUPYTER_KERNEL_TEMPLATE, a_kernel_template(**template))
    await world.run(make(world), TEMPLATE)
    conditions = world.server.get(JUPYTER_KERNEL_TEMPLATE, TEMPLATE)["status"]["conditions"]
    assert [(one["type"], one["status"], one["message"]) for one in conditions] == want
    assert not world.server.all(POD)
