import asyncio
import contextlib

import pytest_asyncio

from elastic_jupyter.api import names
from elastic_jupyter.kube.kinds import JUPYTER_KERNEL_SPEC, JUPYTER_KERNEL_TEMPLATE, Key
from elastic_jupyter.store.kubernetes import KubernetesCatalog
from tests.support.objects import an_object, until

BROKEN = {"displayName": {"not": "a string"}}


@pytest_asyncio.fixture
async def catalog(client, server):
    server.put(JUPYTER_KERNEL_SPEC, an_object("python", spec={"displayName": "Python"}))
    server.put(JUPYTER_KERNEL_SPEC, an_object("broken", spec=BROKEN))
    server.put(JUPYTER_KERNEL_SPEC, an_object("elsewhere", namespace="other", spec={}))
    server.put(JUPYTER_KERNEL_TEMPLATE, an_object("gpu", spec={"template": {"spec": {}}}))
    catalog = KubernetesCatalog(client, "team")
    task = asyncio.create_task(catalog.run())
    await catalog.synced.wait()
    yield catalog
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_it_holds_what_fits_of_its_namespace(catalog):
    assert list(catalog.specs) == ["python"]
    assert catalog.specs["python"].spec.display_name == "Python"
    assert list(catalog.templates) == ["gpu"]


async def test_no_object_has_a_gateway_show_the_files_of_a_folder(catalog, server):
    obj = an_object("r", spec={})
    obj["metadata"]["annotations"] = {names.ANNOTATION_RESOURCE_DIRECTORY: "/run/secrets"}
    server.put(JUPYTER_KERNEL_SPEC, obj)
    await until(lambda: "r" in catalog.specs)
    assert catalog.folder("r") is None


async def test_it_follows_changes_and_tells_of_them(catalog, server):
    calls = []
    catalog.on_change = lambda: calls.append(sorted(catalog.specs))
    specs = catalog.specs
    server.put(JUPYTER_KERNEL_SPEC, an_object("r", spec={}))
    await until(lambda: "r" in specs)
    server.remove(JUPYTER_KERNEL_SPEC, Key("team", "python"))
    await until(lambda: "python" not in specs)
    server.put(JUPYTER_KERNEL_SPEC, an_object("r", spec=BROKEN))
    await until(lambda: not specs)
    assert calls == [["python", "r"], ["r"], []]
