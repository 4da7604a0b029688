"""The table of conditions says what the reconcilers say, found in their source, both ways."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from elastic_jupyter.api.conditions import CONDITIONS

SOURCE = Path(__file__).parents[3] / "src"
RECONCILERS = ("operator", "local")
TYPES = {one.type: one for kind in CONDITIONS.values() for one in kind}
REASONS = {
    name: {reason for kind in CONDITIONS.values() for one in kind if one.type == name
           for reason in one.reasons}
    for name in TYPES
}  # fmt: skip


def calls(name: str) -> Iterator[tuple[str, list[set[str]]]]:
    """Yield where a reconciler calls ``name``, and the words in each of its arguments."""
    package = SOURCE / "elastic_jupyter"
    for path in sorted(path for one in RECONCILERS for path in (package / one).rglob("*.py")):
        module = importlib.import_module(
            ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")
        )
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name:
                where = f"{path.relative_to(SOURCE)}:{node.lineno}"
                yield where, [_words(argument, vars(module)) for argument in node.args]


def _words(argument: ast.expr, known: dict[str, object]) -> set[str]:
    """Return the PascalCase words in an argument, also those that it names."""
    words = set()
    for node in ast.walk(argument):
        value = known.get(node.id) if isinstance(node, ast.Name) else None
        if isinstance(node, ast.Constant):
            value = node.value
        if isinstance(value, str) and re.fullmatch(r"[A-Z][A-Za-z]+", value):
            words.add(value)
    return words


def test_every_condition_and_reason_that_a_reconciler_says_is_in_the_table() -> None:
    unknown = []
    said = list(calls("Condition"))
    for where, [types, _, reasons, *_] in said:
        for name in types:
            if name not in TYPES:
                unknown.append(f"{where}: condition {name}")
            unknown += [f"{where}: {name} {word}" for word in reasons - REASONS.get(name, set())]
    assert len(said) > 10
    assert unknown == []


def test_every_word_of_a_sight_is_a_reason_in_the_table() -> None:
    said = [(where, words[1]) for where, words in calls("Sighting") if len(words) > 1]
    assert len(said) > 3
    assert [(where, word) for where, words in said for word in words - REASONS["Running"]] == []


@pytest.mark.parametrize("name", TYPES)
def test_nothing_in_the_table_is_out_of_date(name: str) -> None:
    """A word that is nowhere in the source as a whole string is said by nobody."""
    whole = {
        node.value
        for path in SOURCE.rglob("*.py")
        if path.name != "conditions.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert {name, *REASONS[name]} - whole == set()
