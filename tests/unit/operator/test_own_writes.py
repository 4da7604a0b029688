import pytest

from elastic_jupyter.api.kernel import JupyterKernel
from elastic_jupyter.kube.kinds import Key
from elastic_jupyter.operator.own_writes import OwnWrites
from tests.support.kernels import a_kernel, model

KEY = Key("team", "jovyan-1")


def kernel(version: int, *, uid: str = "1") -> JupyterKernel:
    obj = a_kernel()
    obj["metadata"] |= {"resourceVersion": str(version), "uid": uid}
    return model(JupyterKernel, obj)


def after_two_writes() -> OwnWrites:
    """Return what is remembered after writes that turned version 1 into 2 and 2 into 3."""
    own, second = OwnWrites(), kernel(2)
    own.wrote(KEY, before=kernel(1), after=second)
    own.wrote(KEY, before=second, after=kernel(3))
    return own


@pytest.mark.parametrize(
    ("cached", "want"),
    [
        pytest.param(kernel(1), kernel(3), id="from before the first write"),
        pytest.param(kernel(2), kernel(3), id="from between the writes"),
        pytest.param(kernel(3), kernel(3), id="what was written"),
        pytest.param(kernel(4), kernel(4), id="somebody wrote after us"),
        pytest.param(kernel(1, uid="2"), kernel(1, uid="2"), id="another object of that name"),
    ],
)
def test_the_newest_is_what_was_written_until_the_cache_is_past_it(
    cached: JupyterKernel, want: JupyterKernel
) -> None:
    assert after_two_writes().newest(KEY, cached) == want


def test_once_the_cache_was_past_it_the_cache_is_believed() -> None:
    own = after_two_writes()
    own.newest(KEY, kernel(4))
    assert own.newest(KEY, kernel(1)) == kernel(1)


def test_an_object_that_is_gone_is_forgotten_and_others_were_never_known() -> None:
    own = after_two_writes()
    assert own.newest(Key("team", "other"), kernel(1)) == kernel(1)
    own.forget(KEY)
    assert own.newest(KEY, kernel(1)) == kernel(1)


def test_a_write_upon_somebody_elses_starts_from_the_beginning() -> None:
    own = after_two_writes()
    own.wrote(KEY, before=kernel(7), after=kernel(8))
    assert own.newest(KEY, kernel(7)) == kernel(8)
