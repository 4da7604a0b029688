"""The Markdown pages: links that lead somewhere, tables that name all there is."""

import ast
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from elastic_jupyter.cli.up import up
from elastic_jupyter.launcher.command import command
from tests.support import pages

SOURCE = pages.ROOT / "src"
VARIABLE = re.compile(
    r"(ELASTIC_JUPYTER|KERNEL|JUPYTER|POD|EG)_[A-Z_]+|HOME|JPY_PARENT_PID|SPT_NOENV"
)
REFERENCE = Path("docs", "reference")


@pytest.mark.parametrize("page", pages.pages(), ids=str)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    wrong = []
    for link in pages.links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        there = (pages.ROOT / target).exists()
        if not there or (anchor and anchor not in pages.anchors(target)):
            wrong.append(link)
    assert wrong == []


def test_the_index_leads_to_every_page_below_docs() -> None:
    index = Path("docs", "README.md")
    seen = {(pages.ROOT / index.parent / link.partition("#")[0]).resolve()
            for link in pages.links(index)}  # fmt: skip
    below = {pages.ROOT / page for page in pages.pages() if page.parts[0] == "docs"}
    adrs = {page for page in below if page.parent.name == "adr" and page.name != "README.md"}
    assert below - adrs - {pages.ROOT / index} - seen == set()


def test_the_architecture_has_a_row_for_every_package() -> None:
    rows = pages.first_cells(pages.sections(Path("docs", "architecture.md"))["Packages"])
    packages = {f"{path.parent.name}/" for path in (SOURCE / "elastic_jupyter").glob("*/*.py")}
    assert packages - rows == set()


def test_the_list_of_decisions_names_every_decision() -> None:
    folder = Path("docs", "adr")
    decisions = {page.name for page in pages.pages() if page.parent == folder}
    assert decisions - {"README.md"} - set(pages.links(folder / "README.md")) == set()


def strings(paths: Iterable[Path]) -> set[str]:
    """Return every whole string in these modules."""
    return {
        node.value
        for path in paths
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def variables(*parts: str) -> set[str]:
    """Return the environment variables that the Python below these paths names."""
    paths = [path for part in parts for path in (pages.ROOT / part).rglob("*.py")]
    paths += [pages.ROOT / part for part in parts if part.endswith(".py")]
    named = set(filter(VARIABLE.fullmatch, strings(paths)))
    return named - {"ELASTIC_JUPYTER_UP_"}  # of which the options of ``up`` are made


@pytest.mark.parametrize(
    ("section", "module"),
    [("Operator", "operator/config.py"), ("Gateway", "gateway/config.py")],
)
def test_the_reference_names_what_a_process_reads_and_no_more(section: str, module: str) -> None:
    read = variables(f"src/elastic_jupyter/{module}")
    assert len(read) > 5
    named = pages.first_cells(pages.sections(REFERENCE / "environment.md")[section])
    assert named - {"HOME"} == read


def test_the_reference_names_every_environment_variable_and_no_other() -> None:
    named = pages.first_cells(pages.text_of(REFERENCE / "environment.md"))
    for page in ("kubeflow-launcher.md", "command-line.md"):
        text = pages.text_of(REFERENCE / page)
        named |= set(filter(VARIABLE.fullmatch, re.findall(r"`([A-Z_]+)`", text)))
    options = {str(one.envvar) for one in up.params if one.envvar}
    assert len(options) > 5
    assert named == variables("src", "images", "agent/src") | options


def test_the_reference_names_every_flag_of_the_launcher_and_no_other() -> None:
    flags = pages.first_cells(pages.sections(REFERENCE / "kubeflow-launcher.md")["Flags"])
    assert flags == {one for option in command.params for one in option.opts if one != "-t"}


def test_the_reference_names_every_label_and_annotation_of_ours_and_no_other() -> None:
    text = "\n".join(path.read_text() for path in SOURCE.rglob("*.py"))
    used = set(re.findall(r'f"\{(?:names\.)?GROUP\}/([a-z-]+)"', text))
    assert len(used) > 5
    page = pages.text_of(REFERENCE / "labels.md")
    assert set(re.findall(r"`kubeflow\.tkestack\.io/([a-z-]+)`", page)) == used


def test_the_reference_names_every_child_that_has_a_name_of_its_own() -> None:
    names = (SOURCE / "elastic_jupyter" / "api" / "names.py").read_text()
    suffixes = set(re.findall(r'return f"\{\w+\}(-[a-z-]+)"', names))
    assert len(suffixes) > 4
    page = pages.text_of(REFERENCE / "labels.md")
    assert [suffix for suffix in suffixes if f"{suffix}`" not in page] == []
