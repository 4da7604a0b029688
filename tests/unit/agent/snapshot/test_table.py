"""Each namespace of ``cases`` is saved in one process, and checked in another."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from tests.unit.agent.snapshot import cases
from tests.unit.agent.snapshot.sides import Seen, one_side


def _cases() -> list[dict[str, str]]:
    kept = [{"code": code, "check": check} for code, check in cases.KEPT]
    lost = [
        {"code": code, "check": "ok" if "ok = 1" in code else "True"} for code, *_ in cases.LOST
    ]
    later = [{"code": code, "check": check} for code, *_, check in cases.LOST_LATER]
    return [
        {"id": f"{table}-{place}"} | case
        for table, several in {"kept": kept, "lost": lost, "later": later}.items()
        for place, case in enumerate(several)
    ]


@pytest.fixture(scope="session")
def seen(tmp_path_factory: pytest.TempPathFactory) -> tuple[Seen, Seen]:
    """What was seen of all cases when they were saved, and when they were restored."""
    root = tmp_path_factory.mktemp("table")
    (root / "work").mkdir()
    (root / "work/read.txt").write_text("one\ntwo\nthree\n")
    (root / "cases.json").write_text(json.dumps(_cases()))
    saved = one_side("save", root)
    before = os.getcwd()
    os.chdir(root / "work")
    try:
        for _, between, *_ in cases.LOST_LATER:
            exec(between)
    finally:
        os.chdir(before)
    return saved, one_side("restore", root)


def _title(code: str) -> str:
    return (
        code.removeprefix(cases.IMPORTS).replace("\n", " ")[:60].encode().decode("ascii", "replace")
    )


def _table(several: list[Any]) -> Callable[[Any], Any]:
    named = [pytest.param(n, id=_title(case[0])) for n, case in enumerate(several)]
    return pytest.mark.parametrize("place", named)


@_table(cases.KEPT)
def test_keeps(seen: tuple[Seen, Seen], place: int) -> None:
    saved, restored = (side[f"kept-{place}"] for side in seen)
    assert "raised" not in saved, saved["raised"]
    assert saved["lost"] == []
    assert "raised" not in restored, restored["raised"]
    assert restored["lost"] == []
    assert sorted(restored["restored"]) == sorted(saved["names"])
    assert restored["holds"] is True


@_table(cases.LOST)
def test_reports_what_cannot_be_saved(seen: tuple[Seen, Seen], place: int) -> None:
    _, name, kind, reason = cases.LOST[place]
    saved, restored = (side[f"lost-{place}"] for side in seen)
    assert "raised" not in saved, saved["raised"]
    [lost] = [lost for lost in saved["lost"] if lost["name"] == name]
    assert kind in lost["type"]
    assert reason in lost["reason"]
    assert name not in saved["names"]
    assert restored["holds"] is True, restored


@_table(cases.LOST_LATER)
def test_reports_what_cannot_be_restored(seen: tuple[Seen, Seen], place: int) -> None:
    _, _, name, reason, _ = cases.LOST_LATER[place]
    saved, restored = (side[f"later-{place}"] for side in seen)
    assert saved["lost"] == []
    [lost] = restored["lost"]
    assert lost["name"] == name
    assert reason in lost["reason"]
    assert name not in restored["restored"]
    assert restored["holds"] is True
