import pytest

from elastic_jupyter.api import names
from elastic_jupyter.api.kernelspec import JupyterKernelSpec
from elastic_jupyter.store.sqlite import SqliteCatalog, objects
from elastic_jupyter.store.sqlite.catalog import SPEC, TEMPLATE
from tests.support.objects import an_object, until


def a_spec(name, **spec):
    return JupyterKernelSpec.model_validate(
        {"kind": "JupyterKernelSpec", "metadata": {"name": name}, "spec": spec}
    )


@pytest.fixture
def catalog(database):
    return SqliteCatalog(database, "team")


@pytest.fixture
def writer(other):
    return SqliteCatalog(other, "team")


async def put(database, kind, obj):
    """Write an object that may not fit its model."""
    now = database.clock.now()
    await database.write(lambda connection: objects.put(connection, kind, obj, now=now))


async def test_it_holds_what_fits_of_its_namespace(database, catalog, writer, running):
    await writer.replace_specs([a_spec("python", displayName="Python")])
    await SqliteCatalog(database, "other").replace_specs([a_spec("elsewhere")])
    await put(database, SPEC, an_object("broken", spec={"displayName": {"not": "a string"}}))
    template = an_object("gpu", kind=TEMPLATE, spec={"template": {"spec": {}}})
    await put(database, TEMPLATE, template)
    async with running(catalog.run()):
        await catalog.synced.wait()
        assert list(catalog.specs) == ["python"]
        assert catalog.specs["python"].spec.display_name == "Python"
        assert list(catalog.templates) == ["gpu"]


async def test_it_knows_the_folder_of_a_kernels_logos(catalog, writer, running):
    r = a_spec("r")
    r.metadata.annotations = {names.ANNOTATION_RESOURCE_DIRECTORY: "/usr/share/jupyter/kernels/ir"}
    await writer.replace_specs([r, a_spec("python")])
    async with running(catalog.run()):
        await catalog.synced.wait()
        assert catalog.folder("r") == "/usr/share/jupyter/kernels/ir"
        assert catalog.folder("python") is catalog.folder("unknown") is None


async def test_it_is_synced_when_there_is_nothing(catalog, running):
    async with running(catalog.run()):
        await catalog.synced.wait()
        assert not catalog.specs


async def test_it_follows_changes_and_tells_of_them(catalog, writer, running):
    calls = []
    catalog.on_change = lambda: calls.append(
        {name: spec.spec.language for name, spec in catalog.specs.items()}
    )
    specs = catalog.specs
    async with running(catalog.run()):
        await catalog.synced.wait()
        await writer.replace_specs([a_spec("python", language="python")])
        await until(lambda: "python" in specs)
        await writer.replace_specs([a_spec("r"), a_spec("python", language="Python")])
        await until(lambda: len(specs) == 2)
        await writer.replace_specs([a_spec("python", language="Python")])
        await until(lambda: "r" not in specs)
        assert calls[0] == {"python": "python"}
        assert calls[-1] == {"python": "Python"}


async def test_specs_that_are_as_they_were_are_not_written(catalog, writer, database, running):
    async with running(catalog.run()):
        await writer.replace_specs([a_spec("python"), a_spec("r", language="R")])
        await until(lambda: len(catalog.specs) == 2)
        before = {name: spec.metadata for name, spec in catalog.specs.items()}
        await writer.replace_specs([a_spec("r", language="r"), a_spec("python")])
        await until(lambda: catalog.specs["r"].spec.language == "r")
        after = {name: spec.metadata for name, spec in catalog.specs.items()}
        assert after["python"] == before["python"]
        assert (after["r"].uid, after["r"].generation) == (before["r"].uid, 2)
        assert after["r"].creation_timestamp == before["r"].creation_timestamp
