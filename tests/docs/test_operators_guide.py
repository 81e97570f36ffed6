"""The operator's guide knows every line that a node logs as critical or as an error."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from node.consensus.interface import StopReason
from node.consensus.journal import LostJournal, inspect_journal
from tests.docs.run_guide import GUIDE, blocks

LOGGERS: Final = ("_log.critical", "_log.error", "_log.exception", "_log.warning")
TEXT: Final = " ".join(GUIDE.read_text(encoding="utf-8").split())


def logged() -> Iterator[str]:
    """The format of each line, as it stands in the code."""
    for path in sorted((GUIDE.parents[1] / "node").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and ast.unparse(call.func) in LOGGERS:
                yield ast.literal_eval(call.args[0])


def test_every_line_is_explained() -> None:
    formats = list(logged())
    assert len(formats) > 15
    for line in formats:
        said = max(re.split(r"%[a-z]", line), key=len).strip(" ;,:()")
        assert said in TEXT, line


def test_a_lost_journal_is_explained(tmp_path: Path) -> None:
    with pytest.raises(LostJournal) as lost:
        inspect_journal(tmp_path / "none.votes")
    assert str(lost.value).partition(": ")[0].partition("none.votes ")[2] in TEXT


def test_every_reason_to_stop_has_a_line() -> None:
    assert {reason.name for reason in StopReason} == {"FORK", "DISAGREEMENT", "FOREIGN_VOTE"}


def test_the_commands_are_those_that_are_run() -> None:
    assert len(blocks()) == GUIDE.read_text(encoding="utf-8").count("```sh")
    assert sum(block.count("consil ") for block in blocks()) > 20
