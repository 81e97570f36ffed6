"""`consil node`: one node, from the command line to a clean stop."""

import logging
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, Annotated, Final, NoReturn, TextIO

import typer

from cli.engines import Engine, EngineRepository, EngineUrl, worker_settings
from cli.errors import UserError
from cli.joining import Joining
from cli.node_check import EPILOG, check
from cli.options import Json, command_group, examples
from cli.output import print_fields, print_json
from cli.specs import load_spec, state_file_of
from inference.engines.kinds import EngineKind
from node.config import NodeConfig, StartError, SyncMode
from node.network.identity import OWN_MACHINE, Address, AddressError, parse_address
from primitives.mnemonic import seed_from_uri

if TYPE_CHECKING:
    import trio

    from chainspec.spec import ChainSpec
    from node.node import Started
    from node.snapshot.join import Progress

app = command_group()
app.command(epilog=EPILOG)(check)

DEFAULT_BASE_PATH: Final = Path("~/.consilience")
DEFAULT_LISTEN: Final = "/ip4/0.0.0.0/tcp/30333"
STATE_HISTORY: Final = "256"
STATE_HISTORY_MIN: Final = 32
"""Light clients are answered about that many blocks."""

PUBLIC_ADDRESSES_MAX: Final = 4
"""As many as fit into a validator's record of itself."""

PublicAddresses = Annotated[
    list[str] | None,
    typer.Option(metavar="MULTIADDR", help="Where others reach a validator, if not where they see it."),
]
Mdns = Annotated[
    bool | None,
    typer.Option(
        "--mdns/--no-mdns", help="Find nodes on the local network; on unless this node listens on loopback."
    ),
]

Throwaway = Annotated[bool, typer.Option("--tmp", help="Keep everything in a directory that is removed.")]

Sync = Annotated[
    SyncMode,
    typer.Option(help="How a new node begins: full executes every block, snapshot fetches a recent state."),
]

History = Annotated[
    str,
    typer.Option(
        metavar="BLOCKS", help=f"Keep old state this long: {STATE_HISTORY_MIN} or more, or archive."
    ),
]

_LOG_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_PERSON: Final = "Vote with the well-known key of this name, on a development chain."


@app.command(
    epilog=examples(
        "consil node run --dev                                       a throw-away chain of one node",
        "consil node run --chain chain.json --validator --base-path /var/lib/consil",
        "consil node run --chain chain.json --bootnode /ip4/10.0.0.1/tcp/30333/p2p/12D3KooW...",
        "consil node run --chain chain.json --sync snapshot          join a long chain in a minute",
        "consil node run --chain chain.json --validator --engine remote --engine-url http://10.0.0.2:8080",
    )
)
def run(
    chain: Annotated[str, typer.Option(help="dev, local, or the file of a chain specification.")] = "local",
    dev: Annotated[bool, typer.Option("--dev", help="The same as --chain dev --alice --tmp.")] = False,
    tmp: Throwaway = False,
    base_path: Annotated[
        Path, typer.Option(metavar="DIR", help="Keeps chains and keys.")
    ] = DEFAULT_BASE_PATH,
    name: Annotated[str, typer.Option(help="What logs and peers call the node.")] = "node",
    validator: Annotated[
        bool, typer.Option("--validator", help="Vote, if the chain has this node's key.")
    ] = False,
    alice: Annotated[bool, typer.Option("--alice", help=_PERSON)] = False,
    bob: Annotated[bool, typer.Option("--bob", help=_PERSON)] = False,
    charlie: Annotated[bool, typer.Option("--charlie", help=_PERSON)] = False,
    dave: Annotated[bool, typer.Option("--dave", help=_PERSON)] = False,
    bootnode: Annotated[
        list[str] | None, typer.Option(metavar="MULTIADDR", help="A peer to start with.")
    ] = None,
    listen: Annotated[
        str, typer.Option(metavar="MULTIADDR", help="Where peers reach this node.")
    ] = DEFAULT_LISTEN,
    public_address: PublicAddresses = None,
    mdns: Mdns = None,
    rpc_port: Annotated[int, typer.Option(help="On 127.0.0.1; 0 picks a free one.", min=0, max=65535)] = 9944,
    prometheus_port: Annotated[int, typer.Option(help="On 127.0.0.1; 0 picks one.", min=0, max=65535)] = 9615,
    no_prometheus: Annotated[bool, typer.Option("--no-prometheus", help="Serve no metrics.")] = False,
    state_history: History = STATE_HISTORY,
    sync: Sync = SyncMode.FULL,
    engine: Engine = EngineKind.AUTO,
    engine_url: EngineUrl = None,
    engine_repository: EngineRepository = None,
    log: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
    faults: Annotated[Path | None, typer.Option(hidden=True)] = None,
    as_json: Json = False,
) -> None:
    """Run a node until Ctrl-C.

    Keys are made at the first start, in DIR/chains/ID/keystore, in files of mode 0600 (not encrypted yet).
    """
    people = {"Alice": alice or dev, "Bob": bob, "Charlie": charlie, "Dave": dave}
    chosen = [person for person, is_chosen in people.items() if is_chosen]
    if len(chosen) > 1:
        raise typer.BadParameter("a node votes with one key", param_hint="--alice, --bob, --charlie, --dave")
    _set_up_log(log)
    with terminable(), ExitStack() as stack, closing(Joining()) as joining:
        if tmp or (dev and base_path == DEFAULT_BASE_PATH):
            base_path = throwaway(stack)
        spec = load_spec("dev" if dev else chain)
        config = NodeConfig(
            spec=spec,
            base_path=base_path.expanduser().absolute(),
            name=name if name != "node" or not chosen else chosen[0].lower(),
            is_validator=validator or bool(chosen),
            session_seed=seed_from_uri(f"//{chosen[0]}") if chosen else None,
            node_seed=None,
            listen=_address(listen, "--listen"),
            bootnodes=(*_boot_nodes(spec), *map(_boot_node, bootnode or ())),
            public_addresses=_public_addresses(public_address or []),
            mdns=_is_reached_from_outside(_address(listen, "--listen")) if mdns is None else mdns,
            rpc_port=rpc_port,
            prometheus_port=None if no_prometheus else prometheus_port,
            undo_blocks=_history(state_history),
            faults=faults,
            sync=sync,
            worker=worker_settings(engine, engine_url, engine_repository),
            genesis_state=state_file_of("dev" if dev else chain),
        )
        _serve(config, lambda started: _show(config, started, joining, as_json), joining.show)


def _serve(
    config: NodeConfig, on_started: Callable[["Started"], None], on_joining: Callable[["Progress"], None]
) -> None:
    """Be a node until Ctrl-C or SIGTERM. Raises UserError if it cannot start, or has to stop."""
    import trio

    from cli.sync_bar import show_bar
    from node.node import run as run_node

    refused: list[StartError] = []

    async def until_signalled() -> None:
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_cancel_on, signals, nursery.cancel_scope)

                def serving(started: "Started") -> None:
                    on_started(started)
                    nursery.start_soon(show_bar, started.progress)

                try:
                    await run_node(config, serving, on_joining)
                except* StartError as group:
                    refused.append(_first(group))
                nursery.cancel_scope.cancel()

    try:
        trio.run(until_signalled)
    except Exception:
        logging.getLogger("node").critical("this node has failed", exc_info=True)
        raise
    if refused:
        raise UserError(str(refused[0]))


@contextmanager
def terminable() -> Iterator[None]:
    """Until the node listens to signals itself, SIGTERM is a clean stop too: what is temporary is removed."""

    def leave(*_: object) -> NoReturn:
        raise SystemExit(0)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def throwaway(stack: ExitStack) -> Path:
    """A directory that is removed at the end: a signal while it is made finds that settled."""
    directory = Path(tempfile.gettempdir()) / f"consil-{token_hex(16)}"
    stack.callback(shutil.rmtree, directory, ignore_errors=True)
    directory.mkdir(mode=0o700)
    return directory


async def _cancel_on(signals: AsyncIterator[int], scope: "trio.CancelScope") -> None:
    async for _ in signals:
        scope.cancel()
        return


def _first(error: BaseException) -> StartError:
    """The refusal inside a group that has nothing else."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, StartError)
    return error


def _show(config: NodeConfig, started: "Started", joining: Joining, as_json: bool) -> None:
    joining.close()
    document = {
        "chain": config.spec.id,
        "name": config.name,
        "peerId": started.peer_id,
        "address": started.address,
        "rpc": f"http://127.0.0.1:{started.rpc_port}",
        "directory": str(config.directory),
    }
    if as_json:
        print_json(document)
    else:
        print_fields({name: "none" if value is None else value for name, value in document.items()})
    sys.stdout.flush()


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to what standard error is now: a progress bar puts itself in its place."""

    @property
    def stream(self) -> TextIO:
        return sys.stderr

    @stream.setter
    def stream(self, _: TextIO) -> None:
        """It is looked up for each line."""


def _set_up_log(level: str) -> None:
    """One event per line on standard error, above a progress bar if there is one."""
    if level not in ("debug", "info", "warning", "error"):
        raise typer.BadParameter("choose debug, info, warning or error", param_hint="--log")
    logging.basicConfig(level=logging.WARNING, format=_LOG_FORMAT, handlers=[_StandardError()])
    logging.getLogger("node").setLevel(level.upper())


def _address(text: str, option: str) -> Address:
    try:
        return parse_address(text)
    except AddressError as error:
        form = "write /ip4/ADDRESS/tcp/PORT, and /p2p/ID after it for a peer"
        raise typer.BadParameter(f"{error}; {form}", param_hint=option) from None


def _is_reached_from_outside(listen: Address) -> bool:
    """Whether others than this machine's programs reach a node that listens there."""
    return listen.host not in OWN_MACHINE and not listen.host.startswith("127.")


def _public_addresses(texts: list[str]) -> tuple[Address, ...]:
    addresses = tuple(_address(text, "--public-address") for text in texts)
    if len(addresses) > PUBLIC_ADDRESSES_MAX or any(place.peer_id or not place.port for place in addresses):
        problem = f"at most {PUBLIC_ADDRESSES_MAX}, each with its port and without /p2p/ID"
        raise typer.BadParameter(problem, param_hint="--public-address")
    return addresses


def _boot_nodes(spec: "ChainSpec") -> list[Address]:
    try:
        return [_with_peer(parse_address(text)) for text in spec.boot_nodes]
    except AddressError as error:
        raise UserError(f"bootNodes of the chain specification: {error}", "correct it") from None


def _boot_node(text: str) -> Address:
    try:
        return _with_peer(_address(text, "--bootnode"))
    except AddressError as error:
        raise typer.BadParameter(f"{error}", param_hint="--bootnode") from None


def _with_peer(address: Address) -> Address:
    """Raises AddressError unless it says who is there."""
    if address.peer_id is None:
        raise AddressError(f"{address} does not say who is there: add /p2p/ID, which that node shows")
    return address


def _history(text: str) -> int | None:
    if text == "archive":
        return None
    if not text.isdecimal() or int(text) < STATE_HISTORY_MIN:
        raise typer.BadParameter(
            f"write archive, or a number from {STATE_HISTORY_MIN}", param_hint="--state-history"
        )
    return int(text)
