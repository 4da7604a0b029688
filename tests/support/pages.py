"""What the tests read out of our Markdown pages."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCED = re.compile(r"^```.*?^```$", re.M | re.S)


def pages() -> list[Path]:
    """Return every Markdown page of the repository, relative to it."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return [Path(line) for line in sorted(listed.split()) if (ROOT / line).exists()]


def text_of(page: Path) -> str:
    """Return a page's text; ``page`` is relative to the repository."""
    return (ROOT / page).read_text()


def links(page: Path) -> Iterator[str]:
    """Yield the targets of a page's links."""
    prose = re.sub(r"`[^`\n]*`", "", _FENCED.sub("", text_of(page)))
    yield from re.findall(r"\]\(([^)\s]+)\)", prose)


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", _FENCED.sub("", text_of(page)), re.M)
    return {re.sub(r"[^\w\- ]", "", one.lower()).replace(" ", "-") for one in headings}


def sections(page: Path) -> dict[str, str]:
    """Return the text below each heading of the second level."""
    _, *parts = re.split(r"^## ", text_of(page), flags=re.M)
    return {part.partition("\n")[0]: part.partition("\n")[2] for part in parts}


def first_cells(text: str) -> set[str]:
    """Return what the first cells of the tables in ``text`` name in code style."""
    return set(re.findall(r"^\| `([^`]+)` ", text, re.M))
