"""What the tests of the command line share."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli.main import app

Consil = Callable[..., Result]


@pytest.fixture
def consil() -> Consil:
    """Runs `consil` with the given arguments; `stdin` is what the user types."""

    def run(*arguments: object, stdin: str | None = None) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)

    return run


@pytest.fixture
def document(consil: Consil) -> Callable[..., Any]:
    """Runs `consil ... --json`, expects success, and gives the one JSON document that it printed."""

    def run(*arguments: object, stdin: str | None = None) -> Any:
        result = consil(*arguments, "--json", stdin=stdin)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return run


@pytest.fixture
def refusal(consil: Consil) -> Callable[..., str]:
    """Runs `consil`, expects exit code 1 and no output, and gives the one line of the refusal."""

    def run(*arguments: object, stdin: str | None = None, code: int = 1) -> str:
        result = consil(*arguments, stdin=stdin)
        assert result.exit_code == code, result.output
        assert result.stdout == ""
        *noted, line = result.stderr.splitlines()
        assert line.startswith("error: ")
        assert "Traceback" not in result.stderr
        assert "consil itself failed" not in line
        assert not any(note.startswith("error") for note in noted)
        return line

    return run
