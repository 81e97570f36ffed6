"""`consil testnet`: a network of real nodes on this machine."""

import signal
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer
from msgspec import to_builtins

from cli import testnet_break, testnet_run
from cli.errors import UserError
from cli.options import Json, command_group, examples
from cli.output import print_json, print_line, print_table, progress
from cli.testnet_commands import Directory, Node, attempt, open_network, say, stop_on_signals
from cli.testnet_faults import NetworkFaults
from cli.testnet_plan import DEFAULT_DIRECTORY, TestnetError
from cli.testnet_processes import Testnet

app = command_group()

START_TIMEOUT_S: Final = 60.0
"""How long the first finalized block may take on a machine that is busy with other things."""

_FOLLOW_POLL_S: Final = 0.2
_LOG_LINES: Final = 20


@app.command(
    epilog=examples(
        "consil testnet up                         stays until Ctrl-C, then stops every node",
        "consil testnet up --nodes 1 --detach      four validators and a full node that go on running",
    )
)
def up(
    validators: Annotated[
        int | None, typer.Option(help="How many nodes vote; 4 in a new network.", min=1)
    ] = None,
    nodes: Annotated[
        int | None, typer.Option(help="How many more follow the chain without a vote.", min=0)
    ] = None,
    directory: Directory = DEFAULT_DIRECTORY,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return once blocks are final; the nodes go on.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Start a network: a new one, or the one in DIR, which goes on where it was.

    Keys and chain are made on the first start. //Alice to //Ferdie have tokens.
    """
    stop_on_signals()
    network = _find_or_create(directory, validators, nodes)
    goes_on = False
    try:
        with progress(
            f"starting {len(network.nodes)} nodes in {network.directory}", silent=as_json
        ) as report:
            network.start()
            network.wait_finalized(1, START_TIMEOUT_S, note=report.note)
        _print_status(network, as_json)
        goes_on = detach
        if not detach:
            _stay(network, as_json)
    except TestnetError as error:
        raise UserError(str(error)) from None
    finally:
        if not goes_on:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            network.stop()


@app.command(epilog=examples("consil testnet status", "consil testnet status --json"))
def status(directory: Directory = DEFAULT_DIRECTORY, as_json: Json = False) -> None:
    """Show finalized height, peers, process and memory of every node, and what is wrong on purpose."""
    _print_status(open_network(directory), as_json)


@app.command(epilog=examples("consil testnet logs", "consil testnet logs validator-2 -f"))
def logs(
    node: Annotated[str | None, typer.Argument(help="One node; all of them if left out.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    lines: Annotated[int, typer.Option(help="How many of the last lines of each.", min=0)] = _LOG_LINES,
    directory: Directory = DEFAULT_DIRECTORY,
    as_json: Json = False,
) -> None:
    """Show what the nodes print."""
    network = open_network(directory)
    names = [plan.name for plan in network.nodes] if node is None else [_checked(network, node)]
    ends = {name: network.log_file(name) for name in names if network.log_file(name).exists()}
    shown = {name: path.read_bytes() for name, path in ends.items()}
    tails = {name: _text(data).splitlines()[-lines or len(data) :] for name, data in shown.items()}
    if as_json:
        print_json(tails)
        return
    for name, tail in tails.items():
        for line in tail:
            print_line(f"{name}: {line}" if node is None else line)
    offsets = {name: len(data) for name, data in shown.items()}
    while follow:
        for name, path in ends.items():
            with path.open("rb") as file:
                file.seek(offsets[name])
                new, _, _ = file.read().rpartition(b"\n")
            if new:
                offsets[name] += len(new) + 1
                for line in _text(new).splitlines():
                    print_line(f"{name}: {line}" if node is None else line)
        time.sleep(_FOLLOW_POLL_S)


@app.command(epilog=examples("consil testnet kill validator-2"))
def kill(node: Node, directory: Directory = DEFAULT_DIRECTORY, as_json: Json = False) -> None:
    """End a node at once with SIGKILL, as a power cut would."""
    network = open_network(directory)
    attempt(lambda: network.kill(node))
    say({"killed": node}, f"killed {node}; `{network.command('restart', node)}` starts it again", as_json)


@app.command(epilog=examples("consil testnet restart validator-2"))
def restart(node: Node, directory: Directory = DEFAULT_DIRECTORY, as_json: Json = False) -> None:
    """Start a node again on the data that it has, and see it answer; stop it first if it runs."""
    network = open_network(directory)
    attempt(lambda: network.restart(node))
    attempt(lambda: network.wait_finalized(1, START_TIMEOUT_S, [node]))
    say({"restarted": node}, f"restarted {node}; `{network.command('status')}` shows it catch up", as_json)


@app.command(epilog=examples("consil testnet down", "consil testnet down --purge"))
def down(
    purge: Annotated[
        bool, typer.Option("--purge", help="Also remove the chain, keys and logs in DIR.")
    ] = False,
    directory: Directory = DEFAULT_DIRECTORY,
    as_json: Json = False,
) -> None:
    """Stop every node of the network."""
    network = open_network(directory)
    network.stop()
    if purge:
        import shutil

        shutil.rmtree(network.directory)
    goes_on = f"stopped; `{network.command('up')}` goes on with the same chain"
    text = "stopped and removed" if purge else goes_on
    say({"stopped": [plan.name for plan in network.nodes], "purged": purge}, text, as_json)


testnet_break.add_to(app)
testnet_run.add_to(app)


def _find_or_create(directory: Path, validators: int | None, nodes: int | None) -> Testnet:
    """The network in `directory`, if it is as asked; otherwise a new one."""
    if not Testnet.exists(directory):
        return attempt(lambda: Testnet.create(directory, 4 if validators is None else validators, nodes or 0))
    network = open_network(directory)
    voting = sum(plan.validator for plan in network.nodes)
    others = len(network.nodes) - voting
    if validators not in (None, voting) or nodes not in (None, others):
        raise UserError(
            f"the network in {network.directory} has {voting} validators and {others} other nodes",
            f"take another --dir, or `{network.command('down')} --purge`",
        )
    if any(network.process(plan.name) for plan in network.nodes):
        raise UserError(
            f"the network in {network.directory} runs already",
            f"`{network.command('status')}` shows it, `down` stops it",
        )
    return network


def _stay(network: Testnet, as_json: bool) -> None:
    """Wait for Ctrl-C."""
    if not as_json:
        goes_on = f"`{network.command('up')}` goes on with the same chain"
        print_line(f"running; Ctrl-C stops every node, and {goes_on}")
    with suppress(KeyboardInterrupt):
        while True:
            signal.pause()


def _print_status(network: Testnet, as_json: bool) -> None:
    found = attempt(network.status)
    if as_json:
        print_json([asdict(node) | {"faults": to_builtins(node.faults)} for node in found])
        return
    rows = [
        (
            node.name,
            node.role,
            *("-" if value is None else value for value in (node.finalized, node.peers)),
            "-" if node.pid is None else f"{node.pid} paused" if node.paused else node.pid,
            "-" if node.rss_bytes is None else f"{node.rss_bytes >> 20} MiB",
            node.rpc,
        )
        for node in found
    ]
    print_table(("node", "role", "finalized", "peers", "pid", "memory", "rpc"), rows, "no nodes")
    for name, text in attempt(NetworkFaults(network).describe).items():
        print_line(f"{name}: {text}")


def _checked(network: Testnet, node: str) -> str:
    return attempt(lambda: network.plan(node)).name


def _text(data: bytes) -> str:
    return data.decode(errors="replace")
