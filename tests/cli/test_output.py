"""What is printed fits the screen that it is printed on, and does nothing to it."""

import os
import pty
import subprocess
import sys
from collections.abc import Mapping

import pytest

from cli.output import print_fields, print_line, print_table, warn
from cli.tables import Column, fold, table_lines

INTEGERS = Column("weight bits", ("8", "10"), is_numeric=True)
LAYERS = Column("layer", ("/backbone/layer1/conv1/Conv", "head"), is_numeric=False)
SHARES = Column("relative error", ("0.18%", "12.00%"), is_numeric=False)
COLUMNS = (LAYERS, INTEGERS, SHARES)
PRINTED = 'from cli.output import print_table; print_table(("a name", "n"), [("value", 1)], "")'


def on_terminal(code: str, **variables: str) -> str:
    """What a program writes to a terminal, before that adds its carriage returns."""
    ours, theirs = pty.openpty()
    kept: Mapping[str, str] = {
        name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ
    }
    with os.fdopen(ours, "rb", buffering=0) as screen:
        done = subprocess.Popen([sys.executable, "-c", code], stdout=theirs, env={**kept, **variables})
        os.close(theirs)
        shown = b""
        try:
            while part := screen.read(4096):
                shown += part
        except OSError:  # how Linux says that nobody writes any more
            pass
        assert done.wait() == 0
    return shown.decode().replace("\r\n", "\n")


def test_a_table_that_fits_is_left_as_it_is() -> None:
    expected = [
        "layer                        weight bits  relative error",
        "/backbone/layer1/conv1/Conv            8  0.18%",
        "head                                  10  12.00%",
    ]
    assert table_lines(COLUMNS, 56) == (1, expected)
    assert table_lines(COLUMNS, None) == (1, expected)


def test_headings_are_broken_between_words_before_any_value_is() -> None:
    assert table_lines(COLUMNS, 45) == (
        2,
        [
            "layer                        weight  relative",
            "                               bits  error",
            "/backbone/layer1/conv1/Conv       8  0.18%",
            "head                             10  12.00%",
        ],
    )


def test_then_long_texts_are_folded() -> None:
    assert table_lines(COLUMNS, 34) == (
        2,
        [
            "layer             weight  relative",
            "                    bits  error",
            "/backbone/layer1       8  0.18%",
            "/conv1/Conv",
            "head                  10  12.00%",
        ],
    )


def test_then_columns_come_closer_and_then_there_is_no_table() -> None:
    assert table_lines(COLUMNS, 32) == (
        2,
        [
            "layer            weight relative",
            "                   bits error",
            "/backbone/layer1      8 0.18%",
            "/conv1/Conv",
            "head                 10 12.00%",
        ],
    )
    assert table_lines(COLUMNS, 31) is None


@pytest.mark.parametrize("width", [32, 33, 40, 48, 60, 80])
def test_no_line_is_wider_than_the_screen(width: int) -> None:
    found = table_lines(COLUMNS, width)
    assert found is not None
    assert max(map(len, found[1])) <= width


def test_text_is_folded_between_words_and_wide_letters_count_twice() -> None:
    assert fold("no room for it", 7) == ["no room", "for it"]
    assert fold("", 7) == [""]
    assert fold("abcdefgh ij", 4) == ["abcd", "efgh", "ij"]
    assert fold("一二三四", 4) == ["一二", "三四"]


def test_rows_of_a_screen_too_narrow_for_a_table_are_fields() -> None:
    code = PRINTED.replace('("value", 1)', '("value", 12345678), ("", 2)')
    assert on_terminal(code, COLUMNS="8") == "a name  value\nn       12345678\n\nn  2\n"


def test_headings_are_bold_unless_that_is_not_wanted() -> None:
    assert on_terminal(PRINTED) == "\x1b[1ma name  n\x1b[0m\nvalue   1\n"
    for variables in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert on_terminal(PRINTED, **variables) == "a name  n\nvalue   1\n"


def test_what_others_named_does_not_reach_the_terminal_as_commands(
    capsys: pytest.CaptureFixture[str],
) -> None:
    name = "\x1b[2Jmodel\u202e"
    print_fields({"name": name})
    print_table(("name", "n"), [(name, 1)], "")
    shown = "\\x1b[2Jmodel\\u202e"
    assert capsys.readouterr().out.splitlines() == [f"name  {shown}", f"name{' ' * 16}n", f"{shown}  1"]


def test_warnings_and_lines_are_harmless_too(capsys: pytest.CaptureFixture[str]) -> None:
    warn("\r\n")
    print_line("\none\ttwo, नमस्ते, 👩\u200d👦")
    captured = capsys.readouterr()
    assert (captured.err, captured.out) == ("warning: \\r\\n\n", "\none\\ttwo, नमस्ते, 👩\u200d👦\n")


def test_nothing_to_show_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("name",), [], "no models")
    assert capsys.readouterr().out == "no models\n"
