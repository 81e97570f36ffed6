"""`consil testnet pause`, `partition` and their like: what goes wrong on purpose, and how it is set right."""

from typing import Annotated

import typer

from cli.options import Json, examples
from cli.testnet_commands import Directory, Node, attempt, open_network, say
from cli.testnet_faults import LOSS_PERCENT_MAX, NetworkFaults
from cli.testnet_plan import DEFAULT_DIRECTORY

Jitter = Annotated[
    int, typer.Option("--jitter", metavar="MS", help="Up to this much more, at random.", min=0)
]


def add_to(app: typer.Typer) -> None:
    """Add the commands to a group."""
    app.command(epilog=examples("consil testnet pause validator-2"))(pause)
    app.command(epilog=examples("consil testnet resume validator-2"))(resume)
    app.command(
        epilog=examples(
            "consil testnet partition validator-1                                     cut off one node",
            "consil testnet partition validator-1,validator-2 validator-3,validator-4  two against two",
        )
    )(partition)
    app.command(epilog=examples("consil testnet heal"))(heal)
    app.command(
        epilog=examples(
            "consil testnet delay 200 --jitter 50                  everything between any two nodes",
            "consil testnet delay validator-1 validator-2 200      what the first sends to the second",
            "consil testnet delay 0                                no more",
        )
    )(delay)
    app.command(
        epilog=examples(
            "consil testnet loss 30                                everywhere",
            "consil testnet loss validator-1 validator-2 30        between two, both ways",
            "consil testnet loss 0                                 no more",
        )
    )(loss)


def pause(node: Node, directory: Directory = DEFAULT_DIRECTORY, as_json: Json = False) -> None:
    """Stop a node in the middle of what it does (SIGSTOP), as a machine that hangs."""
    network = open_network(directory)
    attempt(lambda: network.pause(node))
    say({"paused": node}, f"paused {node}; `{network.command('resume', node)}` lets it go on", as_json)


def resume(node: Node, directory: Directory = DEFAULT_DIRECTORY, as_json: Json = False) -> None:
    """Let a paused node go on."""
    network = open_network(directory)
    attempt(lambda: network.resume(node))
    say({"resumed": node}, f"resumed {node}; `{network.command('status')}` shows it catch up", as_json)


def partition(
    groups: Annotated[
        list[str],
        typer.Argument(metavar="GROUP...", help="Names with commas; whoever is not named forms one more."),
    ],
    directory: Directory = DEFAULT_DIRECTORY,
    as_json: Json = False,
) -> None:
    """Cut the network into groups that do not hear each other, until `heal`.

    A partition replaces the one before. It stays over restarts of nodes.
    """
    network = open_network(directory)
    named = [[name for name in group.split(",") if name] for group in groups]
    parts = attempt(lambda: NetworkFaults(network).partition(named))
    text = " | ".join(", ".join(part) for part in parts)
    say({"groups": parts}, f"cut: {text}; `{network.command('heal')}` ends it", as_json)


def heal(directory: Directory = DEFAULT_DIRECTORY, as_json: Json = False) -> None:
    """End every partition, delay and loss."""
    network = open_network(directory)
    attempt(NetworkFaults(network).heal)
    say({"healed": [plan.name for plan in network.nodes]}, "every link is sound again", as_json)


def delay(
    words: Annotated[
        list[str], typer.Argument(metavar="[FROM TO] MS", help="Milliseconds, after two names or none.")
    ],
    jitter: Jitter = 0,
    directory: Directory = DEFAULT_DIRECTORY,
    as_json: Json = False,
) -> None:
    """Make what nodes send to each other late, one way each; 0 ends it."""
    network = open_network(directory)
    source, target, text = _three(words, "[FROM TO] MS")
    if not text.isdecimal():
        raise typer.BadParameter(f"'{text}' is no whole number of milliseconds", param_hint="MS")
    attempt(lambda: NetworkFaults(network).delay(int(text), jitter, source, target))
    where = "everywhere" if source is None else f"from {source} to {target}"
    document = {"delayMs": int(text), "jitterMs": jitter, "from": source, "to": target}
    say(document, f"{text} ms {where}; `{network.command('heal')}` ends it", as_json)


def loss(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[ONE OTHER] PERCENT", help=f"0 to {LOSS_PERCENT_MAX}, after two names or none."
        ),
    ],
    directory: Directory = DEFAULT_DIRECTORY,
    as_json: Json = False,
) -> None:
    """Lose a share of what nodes send to each other; TCP sends it again, late. 0 ends it."""
    network = open_network(directory)
    one, other, text = _three(words, "[ONE OTHER] PERCENT")
    try:
        percent = float(text.removesuffix("%"))
    except ValueError:
        raise typer.BadParameter(f"'{text}' is no number", param_hint="PERCENT") from None
    attempt(lambda: NetworkFaults(network).lose(percent, one, other))
    where = "everywhere" if one is None else f"between {one} and {other}"
    document = {"lossPercent": percent, "between": None if one is None else [one, other]}
    say(document, f"{percent:g} % lost {where}; `{network.command('heal')}` ends it", as_json)


def _three(words: list[str], form: str) -> tuple[str | None, str | None, str]:
    """Two names or none, and what follows them."""
    if len(words) == 1:
        return None, None, words[0]
    if len(words) == 3:
        return words[0], words[1], words[2]
    raise typer.BadParameter(f"write {form}", param_hint=form)
