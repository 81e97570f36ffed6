"""How the demonstration talks to its audience, and how it runs commands in front of it."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

COMMAND_TIMEOUT_S: Final = 120.0
"""No command of the demonstration takes half as long on a busy machine."""

ROOT: Final = Path(__file__).resolve().parents[2]


class DemoFailed(Exception):
    """A step did not show what it promised; the text says what happened instead."""


class Consil(Protocol):
    """Runs `consil` with arguments; what it printed as JSON. Raises DemoFailed if it fails."""

    def __call__(self, *arguments: str) -> Any:
        """Run one command."""
        ...


class Narrator:
    """Prints what happens as it happens."""

    def __init__(self) -> None:
        self._began = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def title(self, number: int, text: str) -> None:
        """The beginning of a step."""
        print(f"\n[{self.elapsed_s:5.1f} s] {number}. {text}", flush=True)

    def say(self, text: str) -> None:
        """One line of a step."""
        print(f"          {text}", flush=True)


def run_consil(narrator: Narrator, *arguments: str) -> Any:
    """Run one command, as the audience could, and return the JSON that it prints."""
    shown = " ".join(_shortened(argument) for argument in arguments)
    narrator.say(f"$ consil {shown}")
    command = [sys.executable, "-m", "cli", *arguments, "--json"]
    return parse_answer(f"consil {shown}", _run(command))


def parse_answer(what: str, ended: subprocess.CompletedProcess[str]) -> Any:
    """The JSON on standard output. Raises DemoFailed with the command's own words if it failed."""
    if ended.returncode != 0:
        lines = ended.stderr.strip().splitlines()
        raise DemoFailed(
            f"`{what}` ended with {ended.returncode}: {lines[-1] if lines else 'it said nothing'}"
        )
    try:
        return json.loads(ended.stdout)
    except ValueError:
        raise DemoFailed(f"`{what}` printed no JSON: {ended.stdout[:200]!r}") from None


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        raise DemoFailed(f"`{' '.join(command[2:])}` took more than {COMMAND_TIMEOUT_S:.0f} s") from None


def _shortened(argument: str) -> str:
    """Long paths and hashes by their end and beginning."""
    if argument.startswith(("/tmp", "/var")):
        return f".../{Path(argument).name}"
    return argument if len(argument) <= 40 else f"{argument[:18]}..."
