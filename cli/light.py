"""`consil light`: a client that starts from the genesis block and believes no node, only proofs.

It loads no libp2p and no database. Names and types of the state come from this release, not from the node.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from chainspec.genesis import genesis_block
from chainspec.spec import ChainSpec
from cli.accounts import account_of, open_keystore
from cli.amounts import Token
from cli.errors import UserError
from cli.lookup import find_storage
from cli.offences import Count, print_offences, prove_offences
from cli.options import (
    DEFAULT_BELIEFS,
    DEFAULT_KEYSTORE,
    DEFAULT_RPC,
    BeliefDirectory,
    ChainOption,
    Json,
    KeystoreDirectory,
    Rpc,
    command_group,
    examples,
)
from cli.output import print_fields, print_json, print_line
from cli.specs import load_spec
from cli.values import Values
from frame.metadata import decode_value
from node.light.client import Answer, BeliefError, LightClient, load_belief, save_belief
from node.light.verify import Belief, believe_genesis
from node.rpc.client import ClientError, RpcClient
from primitives.block import block_hash
from primitives.finality import BadProof
from runtime.description import describe_runtime

app = command_group()


@app.command(epilog=examples("consil light init --chain chain.json"))
def init(
    chain: ChainOption = "local", directory: BeliefDirectory = DEFAULT_BELIEFS, as_json: Json = False
) -> None:
    """Begin to follow a chain, from its genesis block alone. What was believed before is forgotten."""
    spec = load_spec(chain)
    genesis = genesis_block(spec)
    belief = believe_genesis(genesis.header, genesis.committee)
    save(belief_file(directory, spec), belief)
    _show(belief, belief_file(directory, spec), as_json)


@app.command(epilog=examples("consil light sync --chain chain.json --rpc http://127.0.0.1:9944"))
def sync(
    chain: ChainOption = "local",
    directory: BeliefDirectory = DEFAULT_BELIEFS,
    rpc: Rpc = DEFAULT_RPC,
    as_json: Json = False,
) -> None:
    """Follow the chain to its newest final block, checking every committee and certificate on the way."""
    spec = load_spec(chain)
    file = belief_file(directory, spec)
    with asking(rpc, load(file, spec)) as client:
        client.sync()
    save(file, client.belief)
    _show(client.belief, file, as_json)


@app.command(epilog=examples("consil light status --chain chain.json"))
def status(
    chain: ChainOption = "local", directory: BeliefDirectory = DEFAULT_BELIEFS, as_json: Json = False
) -> None:
    """Show what is believed, without asking anybody."""
    spec = load_spec(chain)
    file = belief_file(directory, spec)
    _show(load(file, spec), file, as_json)


@app.command(
    epilog=examples(
        "consil light read system.accounts //Bob --chain chain.json",
        "consil light read balances.total_issuance",
    )
)
def read(
    item: Annotated[
        str, typer.Argument(metavar="PALLET.ITEM", help="As `consil query metadata PALLET` lists it.")
    ],
    keys: Annotated[
        list[str] | None, typer.Argument(metavar="KEYS", help="The keys of an entry of a map.")
    ] = None,
    chain: ChainOption = "local",
    directory: BeliefDirectory = DEFAULT_BELIEFS,
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    rpc: Rpc = DEFAULT_RPC,
    as_json: Json = False,
) -> None:
    """Read the newest final state, and believe it only with its proof; exit code 1 if the proof is wrong."""
    spec = load_spec(chain)
    file = belief_file(directory, spec)
    values = _values(spec, keystore)
    info = find_storage(describe_runtime(), item)
    key = values.key(info, keys or [])
    with asking(rpc, load(file, spec)) as client:
        answer = client.read([key])
    save(file, client.belief)
    data = answer.values[key]
    value = info.default if data is None else decode_value(info.value, data)
    if as_json:
        print_json({"value": value, "stored": data is not None, **_proved(answer)})
        return
    print_line("proved absent" if value is None else values.show(info.value, value))
    _print_proved(answer)


@app.command(
    epilog=examples(
        "consil light model 0xMODEL --chain chain.json --rpc http://127.0.0.1:9944",
        "consil light model 0xMODEL --json",
    )
)
def model(
    model_: Annotated[
        str, typer.Argument(metavar="MODEL", help="Its identity, as `consil model list` shows it.")
    ],
    chain: ChainOption = "local",
    directory: BeliefDirectory = DEFAULT_BELIEFS,
    rpc: Rpc = DEFAULT_RPC,
    as_json: Json = False,
) -> None:
    """Show a model and the exactness certificate that validators found, believed only with their proof."""
    from cli.exact import certificate_document, certificate_fields, certificate_of
    from cli.proved_record import prove_entries

    items = [("models.models", model_), ("models.proofs", model_)]
    (record, proof), answer = prove_entries(chain, directory, rpc, items)
    certificate = certificate_document(certificate_of(proof["verdict"]))
    document = {"id": model_, **{name: record[name] for name in ("name", "state", "owner", "blob")}}
    if as_json:
        seats = proof["attestations"]
        print_json({**document, "certificate": certificate, "attestations": seats, **_proved(answer)})
        return
    print_fields({**document, **certificate_fields(certificate)})
    _print_proved(answer)


@app.command(epilog=examples("consil light offences --chain chain.json", "consil light offences --json"))
def offences(
    count: Count = 20,
    chain: ChainOption = "local",
    directory: BeliefDirectory = DEFAULT_BELIEFS,
    rpc: Rpc = DEFAULT_RPC,
    as_json: Json = False,
) -> None:
    """Show the equivocations on record, each believed only with its proof, and judged again.

    The state proof shows what is on record; the two signatures in a record convict the key in it.
    """
    spec = load_spec(chain)
    file = belief_file(directory, spec)
    with asking(rpc, load(file, spec)) as client:
        found, answer = prove_offences(client, count)
    save(file, client.belief)
    print_offences(found, spec.properties.ss58_format, as_json, _proved(answer))
    if not as_json:
        _print_proved(answer)


@contextmanager
def asking(url: str, belief: Belief) -> Iterator[LightClient]:
    """A client of the node at `url`. Raises UserError for answers that are wrong or missing."""
    try:
        with RpcClient(url) as rpc:
            yield LightClient(rpc, belief)
    except BadProof as error:
        told = f"{url} answered with a wrong proof ({error})"
        raise UserError(told, "do not believe that node; ask another") from None
    except (ClientError, ValueError) as error:
        raise UserError(str(error)) from None


def _proved(answer: Answer) -> dict[str, Any]:
    """Where an answer was proved, and what the proof took."""
    return {
        "height": answer.header.height,
        "blockHash": f"0x{block_hash(answer.header).hex()}",
        "proofBytes": answer.proof_bytes,
        "certificateBytes": answer.certificate_bytes,
    }


def _print_proved(answer: Answer) -> None:
    print_line(
        f"proved in final block {answer.header.height} "
        f"({answer.proof_bytes} bytes, {answer.certificate_bytes} of them the proof of finality)"
    )


def _values(spec: ChainSpec, keystore: Path) -> Values:
    properties, store = spec.properties, open_keystore(keystore)
    prefix = properties.ss58_format
    token = Token(properties.token_symbol, properties.token_decimals)
    return Values(token, prefix, lambda text: account_of(text, store, prefix), describe_runtime)


def belief_file(directory: Path, spec: ChainSpec) -> Path:
    """Where the belief in this chain is kept."""
    return directory.expanduser() / f"{spec.id}.belief"


def load(file: Path, spec: ChainSpec) -> Belief:
    """What is believed of this chain. Raises UserError."""
    try:
        return load_belief(file, block_hash(genesis_block(spec).header))
    except BeliefError as error:
        raise UserError(str(error)) from None


def save(file: Path, belief: Belief) -> None:
    """Keep what is believed. Raises UserError."""
    try:
        save_belief(file, belief)
    except BeliefError as error:
        raise UserError(str(error), "choose another --dir") from None


def _show(belief: Belief, file: Path, as_json: bool) -> None:
    committee = belief.trusted.committee
    document: dict[str, Any] = {
        "genesis": f"0x{belief.genesis.hex()}",
        "epoch": committee.epoch,
        "validators": len(committee.members),
        "height": belief.newest.height,
        "block": f"0x{block_hash(belief.newest).hex()}",
        "file": str(file),
    }
    if as_json:
        print_json(document)
    else:
        print_fields(document)
