"""`consil chainspec fork`: a new chain that goes on from the state of one that has stopped."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.accounts import open_keystore, validator_of
from cli.amounts import Token
from cli.errors import UserError
from cli.files import ensure_new, write_new
from cli.options import DEFAULT_KEYSTORE, Json, KeystoreDirectory, examples
from cli.output import Progress, print_fields, print_json, progress
from cli.specs import load_spec
from primitives.types import BlockNumber

if TYPE_CHECKING:
    from chainspec.fork import Forked, Successor
    from chainspec.spec import ChainSpec

EPILOG = examples(
    "consil chainspec fork new.json --chain old.json --base-path /var/lib/consil --id mine-2 \\",
    "    --validator anna=0x88dc... --validator //Bob=0x17ab...",
    "consil chainspec fork new.json --chain old.json --at 1200 --id mine-2 --validator anna=0x88dc...",
)


def fork(
    file: Annotated[Path, typer.Argument(help="The file to write; its state goes beside it, into .state.")],
    chain: Annotated[str, typer.Option(help="The chain that has stopped: the file of its specification.")],
    id_: Annotated[str, typer.Option("--id", help="Short name of the new chain; not that of the old one.")],
    validator: Annotated[
        list[str],
        typer.Option(
            metavar="ACCOUNT[=KEY]", help="Votes from epoch 1 on; KEY is its session key, 0x and 64 digits."
        ),
    ],
    base_path: Annotated[
        Path, typer.Option(metavar="DIR", help="Of a node of the old chain; it must not run.")
    ] = Path("~/.consilience"),
    at: Annotated[
        str, typer.Option(metavar="HEIGHT", help="Which block to go on from: finalized is the newest.")
    ] = "finalized",
    name: Annotated[str, typer.Option(help="For people; the id if left out.")] = "",
    fork_id: Annotated[str, typer.Option(help="Part of every signature; the id if left out.")] = "",
    boot_node: Annotated[
        list[str] | None, typer.Option(metavar="MULTIADDR", help="Where nodes find peers.")
    ] = None,
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    as_json: Json = False,
) -> None:
    """Begin a new chain with the state of one that has stopped for ever, and other validators.

    For a network that lost a third of its stake. Everybody keeps what he has; open jobs are refunded;
    heights, epochs and nonces begin again; nothing that was signed for the old chain is valid on the new one.
    """
    from chainspec.fork import Successor
    from chainspec.state_file import SUFFIX, state_path_of

    old, store = load_spec(chain), open_keystore(keystore)
    if id_ == old.id:
        raise UserError(f"the old chain has the id {id_}", "choose another --id: it names the directory")
    if file.suffix == SUFFIX:
        raise UserError(f"{file} is where the state would go", "choose a name that ends with .json")
    for made in (file, state_path_of(file)):
        ensure_new(made)
    successor = Successor(
        name=name or id_,
        id=id_,
        fork_id=fork_id or id_,
        boot_nodes=boot_node or [],
        validators=[validator_of(text, store) for text in validator],
    )
    directory = base_path.expanduser().absolute() / "chains" / old.id
    with progress(f"reading {directory}", silent=as_json) as shown:
        forked = _forked(old, directory, _height(at), successor, shown)
    _write(file, forked)
    _show(file, forked, as_json)


def _forked(
    old: "ChainSpec", directory: Path, at: BlockNumber | None, successor: "Successor", shown: Progress
) -> "Forked":
    """Raises UserError."""
    from chainspec.fork import fork_chain
    from chainspec.genesis import genesis_block
    from chainspec.spec import SpecError
    from node.db.errors import DatabaseError
    from node.fork import read_standing
    from node.node import DATABASE_DIRECTORY
    from runtime.fork import ForkRefused

    try:
        standing = read_standing(directory / DATABASE_DIRECTORY, genesis_block(old), at, shown.note)
        shown.note(f"making the genesis state of {successor.id}, and checking it")
        return fork_chain(old, standing.header, standing.entries, successor)
    except DatabaseError as error:
        raise UserError(str(error)) from None
    except (SpecError, ForkRefused) as error:
        raise UserError(f"no chain can be like that: {error}", "see `consil chainspec fork --help`") from None


def _height(text: str) -> BlockNumber | None:
    if text == "finalized":
        return None
    if not text.isdecimal() or len(text) > 18:
        raise typer.BadParameter("write finalized, or the height of a block", param_hint="--at")
    return BlockNumber(int(text))


def _write(file: Path, forked: "Forked") -> None:
    """The state first: a specification without it would be of no use. Raises UserError."""
    from chainspec.spec import spec_text
    from chainspec.state_file import BadStateFile, state_path_of, write_state

    state_file = state_path_of(file.expanduser())
    try:
        write_state(state_file, forked.entries)
    except FileExistsError:
        raise UserError(f"{state_file} exists", "choose another file, or move it away") from None
    except (OSError, BadStateFile) as error:
        state_file.unlink(missing_ok=True)
        raise UserError(f"cannot write {state_file}: {error}", "make room, or choose another place") from None
    try:
        write_new(file, spec_text(forked.spec))
    except UserError:
        state_file.unlink()
        raise


def _show(file: Path, forked: "Forked", as_json: bool) -> None:
    from chainspec.genesis import genesis_block
    from chainspec.state_file import state_path_of
    from primitives.block import block_hash

    spec, token = forked.spec, Token()
    raw = spec.genesis.raw_genesis
    assert raw is not None
    genesis = f"0x{block_hash(genesis_block(spec).header).hex()}"
    state_file = state_path_of(file)
    if as_json:
        print_json(
            {
                "file": str(file),
                "stateFile": str(state_file),
                "genesisHash": genesis,
                "forkedFrom": {"chain": raw.forked_from.chain, "height": raw.forked_from.height},
                "entries": len(forked.entries),
                "issuance": forked.issuance,
                "cancelledJobs": forked.cancelled,
            }
        )
        return
    print_fields(
        {
            "file": file,
            "state": f"{state_file}: {len(forked.entries)} entries, {token.format(forked.issuance)} in all",
            "genesis": genesis,
            "goes on": f"after block {raw.forked_from.height} of {raw.forked_from.chain}",
            "validators": "\n".join(f"0x{one.session_key.hex()}" for one in spec.validators),
            "jobs": f"{forked.cancelled} were open and are refunded",
        }
    )
