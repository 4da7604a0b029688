"""Kernels that sleep in pods: their variables are on the claim that the operator makes."""

from collections.abc import Callable, Iterator

import nbformat
import pytest
from playwright.sync_api import expect
from tests.scenarios.hibernation import Hibernation, LazyStart
from tests.scenarios.idle_or_not import IdleOrNot, goes, stays
from tests.support import manifests
from tests.support.chromium import chromium
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.lab_page import LabPage
from tests.support.one_at_a_time import one_at_a_time
from tests.support.team import EXAMPLES, Object, Team, foreign_image

pytestmark = pytest.mark.long

GPU = (
    manifests.gpu_template("one-gpu"),
    manifests.kernel_spec("gpu", template="one-gpu", display_name="Python with a GPU"),
)


R_COMMAND = ["R", "--slave", "-e", "IRkernel::main()", "--args", "{connection_file}"]


def unsavable(cluster: Cluster) -> Iterator[Object]:
    """Kernel specs of R and of a Python without our agent, to be kept and to be deleted."""
    for fallback in ("Keep", "Delete"):
        more = {"reclaim": {"fallback": fallback}}
        image = foreign_image(cluster, "r-kernel")
        name = f"r-{fallback.lower()}"
        yield manifests.kernel_spec(name, language="R", image=image, command=R_COMMAND, **more)
        image = foreign_image(cluster, "plain-kernel")
        yield manifests.kernel_spec(f"plain-{fallback.lower()}", image=image, **more)


@pytest.fixture
def gpus() -> Iterator[None]:
    """Keep others from using the GPUs meanwhile; most tests need none."""
    with one_at_a_time(EXAMPLES / "gpu"):
        yield


@pytest.fixture(scope="module")
def sleepy(cluster: Cluster, new_team: Callable[..., Team]) -> Team:
    """A team whose kernels sleep after seconds."""
    return new_team(
        *GPU,
        *unsavable(cluster),
        cullIdleTimeout=5,
        cullInterval=1,
        reclaim={"policy": "Hibernate"},
        snapshot={"size": "2Gi"},
    )


@pytest.fixture(scope="module")
def lazy(new_team: Callable[..., Team]) -> Team:
    """A team whose kernels start with their first cell."""
    return new_team(*GPU, cullIdleTimeout=3600, start="OnFirstExecute")


class TestHibernation(Hibernation):
    """As on every engine."""


class TestIdleOrNot(IdleOrNot):
    """As on every engine."""


class TestLazyStart(LazyStart):
    """As on every engine."""


def test_the_saved_variables_are_on_a_claim_that_goes_with_the_gateway(sleepy: Team) -> None:
    claim = sleepy.cluster.get(sleepy.namespace, "persistentvolumeclaims", "gw-snapshots")
    assert claim is not None
    [owner] = claim["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("JupyterGateway", "gw")
    assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi"


@pytest.mark.usefixtures("gpus")
def test_jupyterlab_in_a_browser_shows_the_sleep_and_wakes_the_kernel(sleepy: Team) -> None:
    """With the extension that is in our notebook image."""
    put_notebook(sleepy, "work.ipynb", kernel="gpu")
    with chromium() as browser:
        lab = LabPage(browser.new_page(), sleepy.server)
        lab.open_notebook("work.ipynb")
        lab.has_kernel("Python with a GPU")
        lab.run("kept = [0]")
        sleeps(sleepy, lab)
        lab.shot("cluster-asleep")
        cells = [lab.run(f"kept.append({number}); print(kept)") for number in (1, 2, 3)]
        expect(cells[2]).to_contain_text("[0, 1, 2, 3]")
        expect(cells[0]).to_contain_text("The kernel woke with kept.")
        sleeps(sleepy, lab)
        lab.reload()
        lab.has_kernel("Python with a GPU")
        expect(lab.kernel_state).to_have_text("asleep")
        expect(lab.run("print(len(kept))")).to_contain_text("4")
        lab.shot("cluster-awake")
        assert not lab.dialogs


def put_notebook(team: Team, file: str, *, kernel: str) -> None:
    kernelspec = {"name": kernel, "display_name": kernel}
    notebook = nbformat.v4.new_notebook(metadata={"kernelspec": kernelspec})
    team.server.request("PUT", f"contents/{file}", type="notebook", content=notebook)


def sleeps(team: Team, lab: LabPage) -> None:
    lab.is_asleep()
    gone = f"the pod of {lab.kernel_id}"
    eventually(lambda: team.placed([lab]), lambda left: not left, within=15, what=gone)


OTHERS = [
    ("r", "x <- 6 * 7", "cat(exists('x'))", "TRUE", "variables of R kernels cannot be saved"),
    ("plain", "x = 1", "print('x' in dir())", "True", "elastic-jupyter-agent is not installed"),
]


@pytest.mark.parametrize(("kind", "code", "look", "there", "reason"), OTHERS, ids=["R", "plain"])
def test_a_kernel_that_cannot_be_saved_is_kept_and_says_so(
    sleepy: Team, kind: str, code: str, look: str, there: str, reason: str
) -> None:
    with sleepy.server.notebook(f"{kind}-keep") as tab:
        tab.run(code, within=60)
        stays(sleepy, tab, reason=reason)
        assert tab.run(look).stdout.strip() == there


@pytest.mark.parametrize(("kind", "code", "look", "there", "reason"), OTHERS, ids=["R", "plain"])
def test_a_kernel_that_cannot_be_saved_is_deleted_and_says_so_before(
    sleepy: Team, kind: str, code: str, look: str, there: str, reason: str
) -> None:
    with sleepy.server.notebook(f"{kind}-delete") as tab:
        tab.run(code, within=60)
        goes(sleepy, tab, reason=reason)
        cell = tab.run(look, within=60)
        assert cell.stdout.strip().lower() == "false"
        assert reason in cell.text
        told = {event["reason"] for event in events_of(sleepy, tab.kernel_id)}
        assert {"NotSavable", "ReclaimSoon"} <= told


def events_of(team: Team, kernel_id: str) -> list[Object]:
    """Return the Events about a JupyterKernel."""
    found = team.cluster.list(team.namespace, "events")
    return [one for one in found if one["involvedObject"]["name"].endswith(kernel_id)]
