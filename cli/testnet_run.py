"""`consil testnet run`: a scenario from a file, on a network of its own that is gone afterwards."""

import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import UserError
from cli.options import Json, examples
from cli.output import print_fields, print_json
from cli.testnet_commands import attempt, stop_on_signals
from cli.testnet_plan import TestnetError
from cli.testnet_processes import Testnet
from cli.testnet_scenario import Scenario, ScenarioError, load_scenario

if TYPE_CHECKING:
    from cli.testnet_runner import Figures

Keep = Annotated[bool, typer.Option("--keep", help="Keep logs, keys and chains even if all went well.")]
TimeScale = Annotated[
    float, typer.Option("--time-scale", metavar="FACTOR", help="Kill at random so much longer.", min=0.001)
]


def add_to(app: typer.Typer) -> None:
    """Add the command to a group."""
    app.command(
        epilog=examples(
            "consil testnet run examples/scenarios/two-against-two.toml",
            "consil testnet run examples/scenarios/random-kills.toml --time-scale 0.1 --json",
        )
    )(run)


def run(
    scenario: Annotated[Path, typer.Argument(metavar="SCENARIO.toml", help="See examples/scenarios.")],
    keep: Keep = False,
    directory: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Make the network there, and keep it.")
    ] = None,
    time_scale: TimeScale = 1.0,
    as_json: Json = False,
) -> None:
    """Run a scenario: break a network step by step, and see it do what it must.

    Makes a network of its own, tells of every step on standard error, and stops every process, whatever
    happens. Exit code 0 if all was seen in time, 1 if not; then everything is kept.
    """
    try:
        loaded = load_scenario(scenario)
    except ScenarioError as error:
        raise UserError(str(error)) from None
    stop_on_signals()
    home = Path(tempfile.mkdtemp(prefix="consil-")) if directory is None else directory
    document = _run(loaded, home, time_scale, _narrator())
    if directory is None and document["ok"] and not keep:
        shutil.rmtree(home)
    else:
        document["directory"] = str(home)
    if as_json:
        print_json(document)
    else:
        print_fields({name: _shown(value) for name, value in document.items()})
    if not document["ok"]:
        raise typer.Exit(1)


def _run(scenario: Scenario, home: Path, time_scale: float, tell: Callable[[str], None]) -> dict[str, Any]:
    """What came of it. Raises UserError if there can be no network."""
    from cli.testnet_runner import Runner

    shape = scenario.network
    network = attempt(
        lambda: Testnet.create(home, shape.validators, shape.nodes, programs=shape.programs, pace=shape.pace)
    )
    tell(f"{scenario.name}: {scenario.about}")
    began, failure = time.monotonic(), None
    runner = Runner(scenario, network, tell, time_scale)
    try:
        runner.run()
    except TestnetError as error:
        failure = str(error)
        tell(f"failed: {failure}")
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        network.stop()
    return document_of(scenario, failure, time.monotonic() - began, runner.figures)


def document_of(scenario: Scenario, failure: str | None, took_s: float, figures: "Figures") -> dict[str, Any]:
    found = {"scenario": scenario.name, "ok": failure is None, "failure": failure}
    slowest = max((wait["s"] for wait in figures.waits), default=None)
    return {**found, "elapsed_s": round(took_s, 1), "slowest_wait_s": slowest, **asdict(figures)}


def _narrator() -> Callable[[str], None]:
    """Tells a line on standard error, with the time since now."""
    began = time.monotonic()

    def tell(line: str) -> None:
        typer.echo(f"[{time.monotonic() - began:6.1f} s] {line}", err=True)

    return tell


def _shown(value: Any) -> object:
    if isinstance(value, list):
        return ", ".join(f"{one['s']} s after {one['after']}" for one in value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None else value
