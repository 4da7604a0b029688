"""What the pages say about one machine, done from top to bottom."""

from pathlib import Path

import pytest

from tests.support.local_walkthrough import LocalWalkthrough
from tests.support.walkthrough import blocks

README = Path("README.md")
HOW_TO = Path("docs", "how-to", "one-machine.md")


@pytest.mark.parametrize(
    ("page", "section"), [(README, "On one machine"), (HOW_TO, None)], ids=["readme", "how-to"]
)
def test_every_command_and_cell_works(page: Path, section: str | None, tmp_path: Path) -> None:
    todo = [block for block in blocks(page) if section in (None, block.section)]
    assert todo
    LocalWalkthrough(tmp_path).walk(todo)
