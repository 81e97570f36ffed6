"""A file or a function that has outgrown one reading is split."""

import ast
from collections.abc import Iterator
from typing import Final

from tests.tidy.sources import every_file, shown

FILE_LINES_MAX: Final = 500
FUNCTION_LINES_MAX: Final = 70


def functions(source: str) -> Iterator[tuple[str, int]]:
    """Name and number of lines, decorators left out, of every function at any depth."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            yield node.name, node.end_lineno - node.lineno + 1


def test_no_file_is_longer_than_one_sitting() -> None:
    lengths = {shown(path): len(path.read_text().splitlines()) for path in every_file()}
    assert {path: lines for path, lines in lengths.items() if lines > FILE_LINES_MAX} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    assert [
        (shown(path), name, lines)
        for path in every_file()
        for name, lines in functions(path.read_text())
        if lines > FUNCTION_LINES_MAX
    ] == []


def test_a_function_is_measured_from_its_name_to_its_last_line() -> None:
    assert list(functions("@decorated\ndef f():\n    async def g():\n        pass\n\n    return g\n")) == [
        ("f", 5),
        ("g", 2),
    ]
