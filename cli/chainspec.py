"""`consil chainspec`: the file from which every node of a chain makes the same block 0."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from chainspec.genesis import genesis_block
from chainspec.presets import INSTANT, LOCAL, PRESETS, WIDE, Network, build_spec
from chainspec.spec import ChainSpec, RawGenesis, SpecError, spec_text
from cli.accounts import account_of, open_keystore, validator_of
from cli.chainspec_fork import EPILOG, fork
from cli.errors import UserError
from cli.files import ensure_new, write_new
from cli.options import DEFAULT_KEYSTORE, Json, KeystoreDirectory, command_group, examples
from cli.output import print_fields, print_json, print_line, print_table
from cli.specs import load_spec
from node.keystore.store import Keystore
from primitives.block import block_hash
from primitives.ss58 import encode_address
from primitives.types import AccountId

app = command_group()
app.command(epilog=EPILOG)(fork)

PACES = {"instant": INSTANT, "local": LOCAL, "wide": WIDE}

Chain = Annotated[str, typer.Argument(metavar="CHAIN", help=f"A file, or a preset: {', '.join(PRESETS)}.")]


@app.command(
    epilog=examples(
        "consil chainspec build chain.json --id mine --validator //Alice --endow //Alice=1000",
        "consil chainspec build chain.json --id mine --pace wide --validator anna=0x88dc...",
    )
)
def build(
    file: Annotated[Path, typer.Argument(help="The file to write; an existing one is never replaced.")],
    id_: Annotated[str, typer.Option("--id", help="Short name; also names the directory of the chain.")],
    validator: Annotated[
        list[str],
        typer.Option(
            metavar="ACCOUNT[=KEY]", help="Votes from epoch 1 on; KEY is its session key, 0x and 64 digits."
        ),
    ],
    endow: Annotated[
        list[str] | None,
        typer.Option(metavar="ACCOUNT=TOKENS", help="Has this many whole tokens at the start."),
    ] = None,
    name: Annotated[str, typer.Option(help="For people; the id if left out.")] = "",
    pace: Annotated[
        str, typer.Option(help="instant (one validator, no votes), local or wide (the world).")
    ] = "local",
    boot_node: Annotated[
        list[str] | None, typer.Option(metavar="MULTIADDR", help="Where nodes find peers.")
    ] = None,
    sudo: Annotated[str, typer.Option(metavar="ACCOUNT", help="May call as root; nobody if left out.")] = "",
    fork_id: Annotated[str, typer.Option(help="Tells forks of one genesis apart.")] = "",
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    as_json: Json = False,
) -> None:
    """Write a new chain specification."""
    ensure_new(file)
    store = open_keystore(keystore)
    if pace not in PACES:
        raise typer.BadParameter(f"choose one of {', '.join(PACES)}", param_hint="--pace")
    network = Network(
        name=name or id_,
        id=id_,
        chain_type="Local" if pace != "wide" else "Live",
        consensus=PACES[pace],
        validators=[validator_of(text, store) for text in validator],
        endowments=dict(_endowment(text, store) for text in endow or []),
        genesis_ms=time.time_ns() // 1_000_000,
        boot_nodes=boot_node or [],
        sudo=account_of(sudo, store) if sudo else None,
        fork_id=fork_id,
    )
    try:
        spec = build_spec(network)
    except SpecError as error:
        raise UserError(
            f"no chain can be like that: {error}", "see `consil chainspec build --help`"
        ) from None
    write_new(file, spec_text(spec))
    _show(spec, as_json, {"file": str(file)})


@app.command(epilog=examples("consil chainspec show local", "consil chainspec show chain.json --json"))
def show(chain: Chain, as_json: Json = False) -> None:
    """Show what a specification says, and the hash of its genesis block."""
    _show(load_spec(chain), as_json, {})


@app.command(epilog=examples("consil chainspec validate chain.json"))
def validate(chain: Chain, as_json: Json = False) -> None:
    """Check a specification; exit code 1 and the path of the wrong key if it is none."""
    spec = load_spec(chain)
    hash_ = f"0x{block_hash(genesis_block(spec).header).hex()}"
    if as_json:
        print_json({"valid": True, "id": spec.id, "genesisHash": hash_})
    else:
        print_line(f"valid: {spec.id}, genesis {hash_}")


@app.command(epilog=examples("consil chainspec presets"))
def presets(as_json: Json = False) -> None:
    """List the chains that need no file."""
    found = [PRESETS[name]() for name in PRESETS]
    rows = [(spec.id, spec.name, spec.consensus.engine, len(spec.validators)) for spec in found]
    if as_json:
        columns = ("id", "name", "engine", "validators")
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        print_table(("preset", "name", "engine", "validators"), rows, "no presets")


def _show(spec: ChainSpec, as_json: bool, more: dict[str, str]) -> None:
    hash_ = f"0x{block_hash(genesis_block(spec).header).hex()}"
    if as_json:
        document: dict[str, Any] = {**more, "genesisHash": hash_, "spec": json.loads(spec_text(spec))}
        print_json(document)
        return
    consensus = spec.consensus
    print_fields(
        {
            **more,
            "name": f"{spec.name} ({spec.id}), {spec.chain_type}",
            "genesis": hash_,
            "consensus": f"{consensus.engine}, a block every {consensus.block_time_ms} ms, "
            f"epochs of {consensus.epoch_length} blocks",
            "validators": "\n".join(f"0x{one.session_key.hex()}" for one in spec.validators),
            **_origin(spec),
            "boot nodes": "\n".join(spec.boot_nodes) or "none",
        }
    )


def _origin(spec: ChainSpec) -> dict[str, str]:
    """Where the first state comes from."""
    form = spec.genesis.form
    if isinstance(form, RawGenesis):
        origin = form.forked_from
        return {"state": f"of block {origin.height} of {origin.chain}, 0x{origin.block_hash.hex()}"}
    sudo = form.config.sudo
    root = (
        "nobody" if sudo is None else encode_address(AccountId(bytes(sudo.key)), spec.properties.ss58_format)
    )
    return {"root": root, "endowed": f"{len(form.config.balances.endowments)} accounts"}


def _endowment(text: str, store: Keystore) -> tuple[AccountId, int]:
    who, _, tokens = text.rpartition("=")
    if not who or not tokens.isdecimal():
        raise UserError(f"'{text}' endows nobody", "write ACCOUNT=TOKENS, as in //Alice=1000")
    return account_of(who, store), int(tokens)
