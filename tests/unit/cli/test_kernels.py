"""Which kernel a person means."""

import pytest

from elastic_jupyter.cli.kernels import Found, choose
from elastic_jupyter.cli.view import KernelView
from elastic_jupyter.errors import NotFound
from elastic_jupyter.policy.usage import NOTHING


def a_view(id: str, *, user: str = "jovyan", notebook: str = "") -> KernelView:
    return KernelView(
        id=id,
        name=f"{user}-{id}",
        phase="Running",
        user=user,
        notebook=notebook,
        spec="python3",
        gpus=(),
        usage=NOTHING,
    )


A, B, C, D, E = VIEWS = (
    a_view("11aa", notebook="work/train.ipynb"),
    a_view("11ab", notebook="train.ipynb"),
    a_view("22", user="ann", notebook="other.ipynb"),
    a_view("223", user="bob", notebook="deep/other.ipynb"),
    a_view("4", user="eve"),
)

ALL = {one.id for one in VIEWS}


@pytest.mark.parametrize(
    ("word", "want"),
    [
        pytest.param("11aa", A, id="the id"),
        pytest.param("11ab", B, id="another id"),
        pytest.param("22", C, id="an id that another begins with"),
        pytest.param("223", D, id="the longer one"),
        pytest.param("jovyan-11aa", A, id="the object's name"),
        pytest.param("bob", D, id="the beginning of the object's name"),
        pytest.param("work/train.ipynb", A, id="a path"),
        pytest.param("train.ipynb", B, id="a path that another ends with"),
        pytest.param("deep/other.ipynb", D, id="the whole path"),
        pytest.param("eve", E, id="one that has no notebook"),
    ],
)
def test_a_kernel_is_named_by(word: str, want: KernelView) -> None:
    assert choose(Found(VIEWS, ""), word) is want


@pytest.mark.parametrize(
    ("word", "candidates"),
    [
        pytest.param("11a", {"11aa", "11ab"}, id="ids"),
        pytest.param("jovyan", {"11aa", "11ab"}, id="names"),
        pytest.param("", ALL, id="nothing"),
        pytest.param("3", ALL, id="what no kernel begins with"),
        pytest.param("rain.ipynb", ALL, id="the end of a path's name"),
    ],
)
def test_who_does_not_name_one_is_told_which_there_are(word: str, candidates: set[str]) -> None:
    with pytest.raises(NotFound) as caught:
        choose(Found(VIEWS, ""), word)
    _, *lines = str(caught.value).splitlines()
    assert {line.split()[0] for line in lines} == candidates


def test_where_there_is_none_that_is_said() -> None:
    with pytest.raises(NotFound, match="there is no kernel 'x', nor any other"):
        choose(Found((), ""), "x")


def test_that_some_may_not_be_seen_is_said() -> None:
    with pytest.raises(NotFound, match="nor any other\nsome are hidden"):
        choose(Found((), "some are hidden"), "x")
