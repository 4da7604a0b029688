"""``elastic-jupyter`` on a cluster, typed by somebody with the rights that its page lists."""

import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support import manifests, walkthrough
from tests.support.cluster import Cluster
from tests.support.eventually import eventually
from tests.support.jupyter_tab import Tab
from tests.support.person import Person, Rules
from tests.support.team import GATEWAY, Team, kernel_name

PAGE = Path("docs", "how-to", "command-line.md")
IDLE, INTERVAL = 15, 2
SECOND = timedelta(seconds=1)
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
    """A patient team; kernels of ``hasty`` are reclaimed after seconds, and ``many`` waits."""
    return new_team(
        manifests.kernel_spec("hasty", cullIdleTimeout=IDLE),
        manifests.kernel_spec("many", resources={"limits": {"nvidia.com/gpu": GPUS}}),
        cullIdleTimeout=3600,
        cullInterval=INTERVAL,
    )


@pytest.fixture(scope="module")
def ann(cluster: Cluster, team: Team, tmp_path_factory: pytest.TempPathFactory) -> Person:
    folder = tmp_path_factory.mktemp("ann")
    return Person.with_rights(cluster, team.namespace, rights(), folder)


@contextlib.contextmanager
def a_notebook(team: Team, name: str, *, kernel: str = "python3") -> Iterator[Tab]:
    tab = team.server.open(kernel, name=name)
    try:
        yield tab
    finally:
        tab.close()
        tab.shutdown()


def shown(person: Person, tab: Tab) -> dict[str, Any]:
    """What ``status`` tells of the kernel of a tab; empty: nothing."""
    everything = json.loads(person.reads("status", "--output", "json"))
    return next((one for one in everything if one["id"] == tab.kernel_id), {})


def in_phase(person: Person, tab: Tab, phase: str) -> dict[str, Any]:
    return eventually(
        lambda: shown(person, tab),
        lambda one: one.get("phase") == phase,
        within=30,
        what=f"phase {phase} in the status",
    )


def test_status_shows_what_kubernetes_knows_of_a_kernel(team: Team, ann: Person) -> None:
    with a_notebook(team, "status.ipynb") as tab:
        tab.run("1", within=60)
        one = in_phase(ann, tab, "Running")
        want = {
            "name": kernel_name(tab), "user": "jovyan", "notebook": "status.ipynb",
            "kernelSpec": "python3", "gpus": {}, "busy": False, "suspend": False,
        }  # fmt: skip
        assert want.items() <= one.items()
        as_yaml = yaml.safe_load(ann.reads("status", "--output", "yaml"))
        [same] = [one for one in as_yaml if one["id"] == tab.kernel_id]
        assert same | {"idleSeconds": 0} == one | {"idleSeconds": 0}
        [line] = [
            line
            for line in ann.reads("status").splitlines()
            if line.startswith(f"{tab.kernel_id[:8]} ")
        ]
        assert line.split()[1:4] == ["Running", "jovyan", "status.ipynb"]


def test_a_watch_tells_of_a_kernel_that_comes_and_goes(team: Team, ann: Person) -> None:
    command = [str(Path(sys.executable).with_name("elastic-jupyter")), "status", "--watch"]
    with subprocess.Popen(command, env=ann.environment, stdout=subprocess.PIPE, text=True) as watch:
        assert watch.stdout
        try:
            with a_notebook(team, "watched.ipynb") as tab:
                tab.run("1", within=60)
                while "Running" not in (line := watch.stdout.readline()) or "watched" not in line:
                    assert line
            while "watched" in (last := watch.stdout.readline()) or not last.startswith("no "):
                assert last
        finally:
            watch.send_signal(signal.SIGINT)
        assert watch.wait(30) == 130


def test_why_tells_what_a_kernel_waits_for_and_a_release_gives_its_place_up(
    team: Team, ann: Person
) -> None:
    with a_notebook(team, "many.ipynb", kernel="many") as tab:
        cell = tab.start("1")
        one = in_phase(ann, tab, "Queued")
        assert one["gpus"] == {"nvidia.com/gpu": GPUS}
        assert one["queue"] == {"position": 1, "length": 1}
        said = ann.reads("why", "many.ipynb")
        for words in ("Waiting for a GPU: 1st of 1", "Insufficient nvidia.com/gpu"):
            assert words in said
        ann.reads("release", "many.ipynb")
        assert cell.wait(within=20).reply["status"] == "error"
        assert "released by request" in cell.reply["evalue"]
        team.reclaimed(tab, within=20)


def test_the_next_cell_after_a_release_runs_in_a_new_kernel(team: Team, ann: Person) -> None:
    with a_notebook(team, "released.ipynb") as tab:
        tab.run("x = 1", within=60)
        in_phase(ann, tab, "Running")
        ann.reads("release", tab.kernel_id[:12])
        team.reclaimed(tab, within=20)
        in_phase(ann, tab, "Reclaimed")
        assert "it was released by request" in ann.reads("why", "released.ipynb")

        again = tab.run("'x' in globals()", within=60)
        assert again.result == "False"
        assert "released by request" in " ".join([again.text, *again.displayed])
        assert team.runs(tab)["status"]["epoch"] == 2
        assert in_phase(ann, tab, "Running")["name"] == kernel_name(tab)


def test_extend_keeps_an_idle_kernel_past_its_deadline(team: Team, ann: Person) -> None:
    with a_notebook(team, "extended.ipynb", kernel="hasty") as tab:
        tab.run("1", within=60)
        deadline = eventually(
            lambda: told(team, tab, "status", "activity", "reclaimAt"),
            lambda moment: moment,
            within=IDLE,
            what="when it will be reclaimed",
        )
        assert "is kept until" in ann.reads("extend", "extended.ipynb", "6s")
        kept = datetime.fromisoformat(told(team, tab, "spec", "keepUntil"))
        assert abs(kept - datetime.fromisoformat(deadline) - timedelta(seconds=6)) < SECOND
        assert "by request" in ann.reads("why", "extended.ipynb")
        team.reclaimed(tab, within=(kept - datetime.now(UTC)).total_seconds() + Team.slack)
        assert datetime.now(UTC) > kept - SECOND


def told(team: Team, tab: Tab, *path: str) -> Any:
    """Return what the object of a tab's kernel has there, or None."""
    found: Any = team.kernel(tab)
    for key in path:
        found = (found or {}).get(key)
    return found


def test_logs_prints_what_a_kernel_wrote_beside_its_cells(team: Team, ann: Person) -> None:
    with a_notebook(team, "logs.ipynb") as tab:
        tab.run(
            "import os, sys\nlog = getattr(sys.stderr, '_original_stdstream_copy', 2)\n"
            "os.write(log, b'before\\nthe disk is warm\\n')",
            within=60,
        )
        eventually(
            lambda: ann.reads("logs", "logs.ipynb", "--tail", "1"),
            lambda log: log == "the disk is warm\n",
            within=10,
            what="the line in the log",
        )
        assert "before\nthe disk is warm\n" in ann.reads("logs", "logs.ipynb")


def test_stop_ends_a_kernel_in_the_middle_of_a_cell(team: Team, ann: Person) -> None:
    with a_notebook(team, "stopped.ipynb") as tab:
        cell = tab.start("import time\nprint('on', flush=True)\ntime.sleep(600)")
        cell.until(lambda cell: cell.stdout == "on\n", within=60, what="the cell's first line")
        in_phase(ann, tab, "Running")
        assert ann.reads("stop", "stopped.ipynb") == f"kernel {tab.kernel_id} is stopped\n"
        assert cell.wait(within=20).reply["status"] == "error"
        team.reclaimed(tab, within=20)


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
    person = Person.with_rights(team.cluster, team.namespace, rules, tmp_path)
    done = person.types(*(kernel.kernel_id if word == "KERNEL" else word for word in command))
    assert (done.returncode, done.stdout) == (1, "")
    [sentence] = done.stderr.splitlines()
    assert sentence.startswith("Error: ")
    assert right in sentence
    assert team.kernel(kernel), "it is as it was"


@pytest.fixture(scope="module")
def kernel(team: Team) -> Iterator[Tab]:
    """A kernel that nobody may touch."""
    with a_notebook(team, "untouched.ipynb") as tab:
        tab.run("1", within=60)
        team.runs(tab)
        yield tab


def test_who_may_not_see_what_sleeps_is_told_so_and_sees_the_rest(
    team: Team, kernel: Tab, tmp_path: Path
) -> None:
    person = Person.with_rights(team.cluster, team.namespace, LIST, tmp_path)
    done = person.types("status", "--output", "json")
    assert done.returncode == 0
    assert kernel.kernel_id in {one["id"] for one in json.loads(done.stdout)}
    [sentence] = done.stderr.splitlines()
    assert sentence.startswith("kernels that were reclaimed are not shown: ")
    assert 'cannot list resource "jupytergateways"' in sentence


def test_another_namespace_or_context_is_another_persons_matter(ann: Person) -> None:
    other = ann.types("status", "--namespace", "default")
    assert other.returncode == 1
    assert 'in the namespace "default"' in other.stderr
    missing = ann.types("status", "--context", "play")
    assert missing.returncode == 1
    assert "Context 'play' not found" in missing.stderr
    assert ann.reads("status", "--context", "work")
