"""The frame of the command line: help, exit codes, one line for each mistake, and what it must not import."""

import errno
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cli.__main__ import start
from cli.main import GROUPS, Root
from tests.cli.conftest import Consil

HEAVY = ("libp2p", "lmdb", "onnx", "onnxruntime", "numpy", "trio")


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_help_names_every_group(consil: Consil) -> None:
    result = consil("--help")
    assert result.exit_code == 0
    assert all(f"\n  {name} " in result.stdout for name in GROUPS)


def test_help_imports_no_group_and_nothing_heavy() -> None:
    code = (
        "import sys\nfrom cli.main import app\n"
        "try:\n    app(args=['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {(*HEAVY, 'rich', 'msgspec', 'nacl')} if name in sys.modules])"
    )
    assert python(code).splitlines()[-1] == "[]"


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_shows_its_help_without_loading_the_node(group: str) -> None:
    code = (
        "import sys\nfrom cli.main import app\n"
        f"try:\n    app(args=['{group}', '--help'])\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print([name for name in {HEAVY} if name in sys.modules])"
    )
    assert python(code).splitlines()[-1] == "[]"


@pytest.mark.parametrize("group", GROUPS)
def test_every_command_has_help_an_example_and_json(group: str) -> None:
    import importlib

    commands = typer.main.get_group(importlib.import_module(GROUPS[group][0]).app).commands
    for name, command in commands.items():
        assert command.help, name
        assert "Examples:" in (command.epilog or ""), name
        assert any("--json" in parameter.opts for parameter in command.params), name


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["bogus"], "error: No such command 'bogus'; see `consil --help`"),
        (["key", "lst"], "error: No such command 'lst'. Did you mean 'list'?; see `consil key --help`"),
        (["key", "sign"], "error: Missing argument 'message'; see `consil key sign --help`"),
        (["--bogus"], "error: No such option: --bogus; see `consil --help`"),
        (["key", "generate", "--words", "x"], "error: Invalid value for '--words'"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(
    refusal: Callable[..., str], arguments: list[str], expected: str
) -> None:
    assert refusal(*arguments, code=2).startswith(expected)


def test_a_group_alone_shows_its_help_and_is_wrong_usage(consil: Consil) -> None:
    result = consil("key")
    assert result.exit_code == 2
    assert "generate" in result.stderr


def failing(error: BaseException) -> typer.Typer:
    app = typer.Typer(cls=Root, rich_markup_mode=None)

    @app.command()
    def fail() -> None:
        raise error

    @app.callback()
    def options(debug: bool = False) -> None:
        """Keeps `fail` a command of its own."""

    return app


def test_a_failure_of_our_own_is_one_line_that_says_so() -> None:
    result = CliRunner().invoke(failing(KeyError("height")), ["fail"])
    assert result.exit_code == 1
    [line] = result.stderr.splitlines()
    assert line.startswith("error: consil itself failed (KeyError: 'height'); add --debug after consil")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            OSError(errno.ENAMETOOLONG, "File name too long", "x.npz"),
            "error: x.npz: File name too long; check",
        ),
        (OSError(errno.ENOSPC, "No space left on device"), "error: cannot write: No space left on device;"),
    ],
)
def test_what_the_system_would_not_do_is_no_failure_of_our_own(error: OSError, line: str) -> None:
    result = CliRunner().invoke(failing(error), ["fail"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(line)


def test_a_closed_output_is_no_failure() -> None:
    command = f"{sys.executable} -m cli key inspect //Alice --keystore /nowhere 2>&- "
    assert subprocess.run(["sh", "-c", f"{command} >&-"], check=False).returncode == 0
    into_full = subprocess.run(["sh", "-c", f"{command} >/dev/full"], check=False)
    assert into_full.returncode == 1


def test_debug_shows_where_it_happened() -> None:
    result = CliRunner().invoke(failing(KeyError("height")), ["--debug", "fail"])
    assert result.exit_code == 1
    assert "Traceback" in result.stderr


def test_ctrl_c_is_code_130() -> None:
    assert CliRunner().invoke(failing(KeyboardInterrupt()), ["fail"]).exit_code == 130


INTERRUPT_IN_IMPORT = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == NAME:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
sys.argv = ["consil", "model", "--help"]
from cli.__main__ import start
start()
"""


@pytest.mark.parametrize("module", ["cli.main", "typer", "cli.model", "inference.graph"])
def test_ctrl_c_in_an_import_is_code_130_without_a_word(module: str) -> None:
    code = INTERRUPT_IN_IMPORT.replace("NAME", repr(module))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_the_installed_command_is_the_one_that_takes_ctrl_c_early() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())
    assert project["project"]["scripts"] == {"consil": f"{start.__module__}:{start.__name__}"}


def test_the_module_runs_as_the_command_does(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cli", "key", "inspect", "//Alice", "--keystore", str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu" in done.stdout
