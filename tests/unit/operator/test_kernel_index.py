from elastic_jupyter.kube.kinds import Key, Object, key_of
from elastic_jupyter.operator.kernel_index import KernelIndex, gateway_of, notebook_of
from tests.support.kernels import a_kernel
from tests.support.objects import an_object

NOTEBOOK = {"namespace": "home", "name": "nb", "uid": "1"}
BARE = an_object("by-hand", spec={})


def of_gateway(index: KernelIndex, name: str) -> list[str]:
    return [kernel["metadata"]["name"] for kernel in index.of_gateway(Key("team", name))]


def of_notebook(index: KernelIndex) -> list[str]:
    return [kernel["metadata"]["name"] for kernel in index.of_notebook(Key("home", "nb"))]


def put(index: KernelIndex, old: Object | None, new: Object | None) -> None:
    known = new or old
    assert known is not None
    index.changed(key_of(known), old, new)


def test_kernels_are_found_by_gateway_and_by_notebook() -> None:
    index = KernelIndex()
    put(index, None, a_kernel("a", notebookRef=NOTEBOOK))
    put(index, None, a_kernel("b"))
    put(index, None, a_kernel("c", gatewayRef={"name": "other"}, notebookRef=NOTEBOOK))
    put(index, None, BARE)
    assert of_gateway(index, "gw") == ["a", "b"]
    assert of_gateway(index, "other") == ["c"]
    assert of_notebook(index) == ["a", "c"]


def test_a_change_replaces_and_moves_and_a_deletion_removes() -> None:
    index = KernelIndex()
    first, moved = a_kernel("a", notebookRef=NOTEBOOK), a_kernel("a", gatewayRef={"name": "other"})
    put(index, None, first)
    put(index, first, moved)
    assert (of_gateway(index, "gw"), of_notebook(index)) == ([], [])
    assert list(index.of_gateway(Key("team", "other"))) == [moved]
    put(index, moved, None)
    assert of_gateway(index, "other") == []


def test_references_name_the_kernels_own_namespace_for_the_gateway_only() -> None:
    kernel = a_kernel(notebookRef=NOTEBOOK)
    assert gateway_of(kernel) == Key("team", "gw")
    assert notebook_of(kernel) == Key("home", "nb")
    for empty in (None, BARE, an_object("x")):
        assert gateway_of(empty) is None
        assert notebook_of(empty) is None
