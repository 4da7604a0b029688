"""``elastic-jupyter`` on a cluster, typed by somebody with the rights that its page lists."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from tests.scenarios.command_line import CommandLine, a_notebook, in_phase
from tests.support import manifests, walkthrough
from tests.support.jupyter_tab import Tab
from tests.support.person import Rules, a_person
from tests.support.shell import Shell
from tests.support.team import GATEWAY, Team

PAGE = Path("docs", "how-to", "command-line.md")
#: More than there are: a class of its own, so that nobody else waits in its line.
GPUS = 55
LIST: Rules = [{"apiGroups": ["*"], "resources": ["jupyterkernels"], "verbs": ["list"]}]


def rights() -> Rules:
    """Return the rules that the page gives whoever uses the command, for the tests' gateway."""
    [role] = [
        yaml.safe_load(block.text.replace("team-tombstones", f"{GATEWAY}-tombstones"))
        for block in walkthrough.blocks(PAGE)
        if "kind: Role\n" in block.text
    ]
    rules: Rules = role["rules"]
    return rules


@pytest.fixture(scope="module")
def team(new_team: Callable[..., Team]) -> Team:
    """A patient team, one of whose kernels waits for more GPUs than there are."""
    many = manifests.kernel_spec("many", resources={"limits": {"nvidia.com/gpu": GPUS}})
    return new_team(many, cullIdleTimeout=3600)


@pytest.fixture(scope="module")
def hasty(new_team: Callable[..., Team]) -> Team:
    return new_team(cullIdleTimeout=5, cullInterval=2)


@pytest.fixture(scope="module")
def shell(team: Team, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return a_person(team.cluster, team.namespace, rights(), tmp_path_factory.mktemp("ann"))


@pytest.fixture(scope="module")
def hasty_shell(hasty: Team, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    return a_person(hasty.cluster, hasty.namespace, rights(), tmp_path_factory.mktemp("bob"))


class TestCommandLine(CommandLine):
    """As on every engine."""


def test_why_tells_what_a_kernel_waits_for_and_a_release_gives_its_place_up(
    team: Team, shell: Shell
) -> None:
    with a_notebook(team, "many.ipynb", kernel="many") as tab:
        cell = tab.start("1")
        one = in_phase(shell, tab, "Queued")
        assert one["gpus"] == {"nvidia.com/gpu": GPUS}
        assert one["queue"] == {"position": 1, "length": 1}
        said = shell.reads("why", "many.ipynb")
        for words in ("Waiting for a GPU: 1st of 1", "Insufficient nvidia.com/gpu"):
            assert words in said
        shell.reads("release", "many.ipynb")
        assert cell.wait(within=20).reply["status"] == "error"
        assert "released by request" in cell.reply["evalue"]
        team.reclaimed(tab, within=20)


@pytest.fixture(scope="module")
def kernel(team: Team) -> Iterator[Tab]:
    """A kernel that nobody may touch."""
    with a_notebook(team, "untouched.ipynb") as tab:
        tab.run("1", within=60)
        team.runs(tab)
        yield tab


@pytest.mark.parametrize(
    ("rules", "command", "right"),
    [
        pytest.param([], ["status"], 'cannot list resource "jupyterkernels"', id="status"),
        pytest.param(
            [], ["status", "--watch"], 'cannot list resource "jupyterkernels"', id="watch"
        ),
        pytest.param(LIST, ["extend", "KERNEL", "1h"], 'cannot patch resource "jupyterkernels"'),
        pytest.param(LIST, ["release", "KERNEL"], 'cannot patch resource "jupyterkernels"'),
        pytest.param(LIST, ["stop", "KERNEL"], 'cannot delete resource "jupyterkernels"'),
        pytest.param(LIST, ["logs", "KERNEL"], 'cannot get resource "pods/log"'),
    ],
)
def test_a_missing_right_is_told_in_one_sentence_that_names_it(
    team: Team, kernel: Tab, tmp_path: Path, rules: Rules, command: list[str], right: str
) -> None:
    person = a_person(team.cluster, team.namespace, rules, tmp_path)
    done = person.types(*(kernel.kernel_id if word == "KERNEL" else word for word in command))
    assert (done.returncode, done.stdout) == (1, "")
    [sentence] = done.stderr.splitlines()
    assert sentence.startswith("Error: ")
    assert right in sentence
    assert team.kernel(kernel), "it is as it was"


def test_who_may_not_see_what_sleeps_is_told_so_and_sees_the_rest(
    team: Team, kernel: Tab, tmp_path: Path
) -> None:
    person = a_person(team.cluster, team.namespace, LIST, tmp_path)
    done = person.types("status", "--output", "json")
    assert done.returncode == 0
    assert kernel.kernel_id in {one["id"] for one in json.loads(done.stdout)}
    [sentence] = done.stderr.splitlines()
    assert sentence.startswith("kernels that were reclaimed are not shown: ")
    assert 'cannot list resource "jupytergateways"' in sentence


def test_another_namespace_or_context_is_another_persons_matter(shell: Shell) -> None:
    other = shell.types("status", "--namespace", "default")
    assert other.returncode == 1
    assert 'in the namespace "default"' in other.stderr
    missing = shell.types("status", "--context", "play")
    assert missing.returncode == 2
    assert "Context 'play' not found" in missing.stderr
    assert shell.reads("status", "--context", "work")
