"""`consil query`: accounts, blocks, events and storage, read by the metadata.

The node is believed: `consil light` checks what it says.
"""

from typing import Annotated, Any, Final

import typer

from cli.chain import Chain
from cli.errors import UserError
from cli.lookup import find_pallet, find_storage
from cli.offences import Count, decode_offences, newest, print_offences, state_key
from cli.options import (
    ACCOUNT_HELP,
    DEFAULT_KEYSTORE,
    DEFAULT_RPC,
    Json,
    KeystoreDirectory,
    Rpc,
    command_group,
    examples,
)
from cli.output import print_fields, print_json, print_line, print_table
from cli.peers import peers
from cli.records import decode_event, decode_inherent, decode_signed, explain_failure, show_call, show_event
from frame.metadata import Metadata, PalletInfo, StorageInfo, TupleType, decode_value

app = command_group()
app.command(epilog=examples("consil query peers", "consil query peers --json"))(peers)

PAGE: Final = 100
"""How many keys are asked for at a time."""

ENTRIES_MAX: Final = 1000
"""Most entries of a map that one command shows."""

_PREFIX_BYTES: Final = 16

Block = Annotated[str | None, typer.Argument(help="Height or hash; the newest finalized block if left out.")]
At = Annotated[
    str | None, typer.Option("--at", metavar="BLOCK", help="Height or hash; else the newest finalized.")
]
Item = Annotated[
    str, typer.Argument(metavar="PALLET.ITEM", help="As `consil query metadata PALLET` lists it.")
]
Keys = Annotated[list[str] | None, typer.Argument(metavar="KEYS", help="The keys of one entry of a map.")]


@app.command(epilog=examples("consil query account //Bob", "consil query account anna --json"))
def account(
    who: Annotated[str, typer.Argument(help=ACCOUNT_HELP)],
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    rpc: Rpc = DEFAULT_RPC,
    as_json: Json = False,
) -> None:
    """Show what an account has, and the nonce of its next transaction."""
    with Chain(rpc, keystore) as chain:
        found = chain.account(who)
        balance = chain.ask("state_call", "balances.account", [f"0x{found.hex()}"])
        nonce = chain.ask("system_accountNextIndex", f"0x{found.hex()}")
        address = chain.address(found)
        if as_json:
            print_json({"address": address, "nonce": nonce, **balance})
        else:
            amounts = {name: chain.token.format(amount) for name, amount in balance.items()}
            print_fields({"address": address, "nonce": nonce, **amounts})


@app.command(
    epilog=examples("consil query block", "consil query block 12", "consil query block 0x5d0e... --json")
)
def block(block_: Block = None, rpc: Rpc = DEFAULT_RPC, as_json: Json = False) -> None:
    """Show the header and the transactions of a block."""
    with Chain(rpc) as chain:
        found = chain.ask("chain_getBlock", chain.block_hash(block_))
        if found is None:
            raise UserError(f"the node has no block {block_}", "`consil query block` shows the newest")
        inherents = [decode_inherent(chain, text) for text in found["inherents"]]
        extrinsics = [decode_signed(chain, text) for text in found["extrinsics"]]
        if as_json:
            print_json({**found, "inherents": inherents, "extrinsics": extrinsics})
            return
        print_fields({name: value for name, value in found["header"].items() if value is not None})
        for index, call in enumerate(inherents):
            print_line(f"\ninherent {index}: {show_call(chain, call)}")
        for index, call in enumerate(extrinsics):
            print_line(f"\nextrinsic {index}: {show_call(chain, call)}")
            print_line(f"  {call['hash']} by {call['signer']}, nonce {call['nonce']}")


@app.command(epilog=examples("consil query events", "consil query events 12"))
def events(block_: Block = None, rpc: Rpc = DEFAULT_RPC, as_json: Json = False) -> None:
    """Show what each call of a block did: its events, or why it failed."""
    with Chain(rpc) as chain:
        found = chain.ask("chain_getEvents", chain.block_hash(block_))
        calls = [_decode_outcome(chain, call) for call in found["calls"]]
        own = [decode_event(chain, event) for event in found["events"]]
        if as_json:
            print_json({"calls": calls, "events": own})
            return
        for index, call in enumerate(calls):
            print_line(f"call {index}: {call['failure'] or 'done'}")
            for event in call["events"]:
                print_line(f"  {show_event(chain, event)}")
        print_line(f"block: {len(own)} events of its own")
        for event in own:
            print_line(f"  {show_event(chain, event)}")


@app.command(
    epilog=examples(
        "consil query storage balances.total_issuance",
        "consil query storage system.accounts //Alice",
        "consil query storage system.block_hashes            every entry of a map",
    )
)
def storage(
    item: Item,
    keys: Keys = None,
    at: At = None,
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    rpc: Rpc = DEFAULT_RPC,
    as_json: Json = False,
) -> None:
    """Show a storage item: a value, one entry of a map, or all of them."""
    with Chain(rpc, keystore) as chain:
        info = find_storage(chain.metadata, item)
        if info.keys and not keys:
            _show_entries(chain, info, as_json)
            return
        key = chain.values.key(info, keys or [])
        data = chain.ask("state_getStorage", f"0x{key.hex()}", *([chain.block_hash(at)] if at else []))
        value = info.default if data is None else _decode(info, data)
        if as_json:
            print_json({"key": f"0x{key.hex()}", "value": value, "stored": data is not None})
        elif value is None:
            raise UserError(f"{item} has no such entry", "leave out the key to list what there is")
        else:
            print_line(chain.values.show(info.value, value))


@app.command(
    epilog=examples("consil query metadata", "consil query metadata balances", "consil query metadata --json")
)
def metadata(
    pallet: Annotated[
        str | None, typer.Argument(help="Everything of one pallet; without it, a list of them.")
    ] = None,
    rpc: Rpc = DEFAULT_RPC,
    as_json: Json = False,
) -> None:
    """Show what the runtime can do: pallets, calls, events, errors, storage, constants, views."""
    with Chain(rpc) as chain:
        if as_json:
            import msgspec

            print_json(
                msgspec.to_builtins(chain.metadata if pallet is None else find_pallet(chain.metadata, pallet))
            )
        elif pallet is None:
            _print_pallets(chain.metadata)
        else:
            _print_pallet(chain, find_pallet(chain.metadata, pallet))


@app.command(epilog=examples("consil query proof system.accounts //Alice"))
def proof(
    item: Item,
    keys: Keys = None,
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    rpc: Rpc = DEFAULT_RPC,
    as_json: Json = False,
) -> None:
    """Show the node's proof of an entry, or of its absence, in wire form. `consil light` checks it."""
    with Chain(rpc, keystore) as chain:
        key = chain.values.key(find_storage(chain.metadata, item), keys or [])
        document = {"key": f"0x{key.hex()}", "proof": chain.ask("light_readProof", [f"0x{key.hex()}"])}
        if as_json:
            print_json(document)
        else:
            print_fields(document)


@app.command(epilog=examples("consil query receipt 0xREQUEST", "consil query receipt 0xREQUEST --json"))
def receipt(
    request: Annotated[str, typer.Argument(help="As `consil infer request` prints it.")],
    rpc: Rpc = DEFAULT_RPC,
    as_json: Json = False,
) -> None:
    """Show the record of an inference as the chain keeps it. `consil infer show` explains the answer."""
    with Chain(rpc) as chain:
        record = chain.view("inference.receipt", job=request)
        if record is None:
            raise UserError(f"no record of a request {request}", "`consil infer watch` waits for one")
        if as_json:
            print_json(record)
            return
        type_ = find_storage(chain.metadata, "inference.records").value
        readable = chain.values.readable(type_, record)
        seats = [" ".join(map(str, seat.values())) for seat in readable["attestations"]]
        print_fields(readable | {"attestations": "\n".join(seats)})


@app.command(epilog=examples("consil query conduct //validator-1", "consil query conduct anna --json"))
def conduct(
    who: Annotated[str, typer.Argument(help=ACCOUNT_HELP)],
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    rpc: Rpc = DEFAULT_RPC,
    as_json: Json = False,
) -> None:
    """Show how often the seats of a validator came to what end in jobs."""
    with Chain(rpc, keystore) as chain:
        found = chain.view("disputes.conduct_of", who=f"0x{chain.account(who).hex()}")
    if as_json:
        print_json(found)
    else:
        print_fields({name.replace("_", " "): count for name, count in found.items()})


@app.command(epilog=examples("consil query gas", "consil query gas --json"))
def gas(rpc: Rpc = DEFAULT_RPC, as_json: Json = False) -> None:
    """Show what the work of validators on models costs now.

    Root sets it with `gas.set_price` and `gas.set_slot_prices`.
    """
    with Chain(rpc) as chain:
        price, slot = chain.view("gas.price"), chain.view("gas.slot_prices")
        if as_json:
            print_json({"perMillionGas": price, "perJob": slot["per_job"], "perInputByte": slot["per_byte"]})
            return
        print_line(f"{chain.token.format(price)} for a million units of gas")
        print_line(f"{chain.token.format(slot['per_job'])} for the place of a job, never given back")
        print_line(f"{chain.token.format(slot['per_byte'])} for each byte of its input besides, likewise")


@app.command(epilog=examples("consil query validators", "consil query validators --json"))
def validators(rpc: Rpc = DEFAULT_RPC, as_json: Json = False) -> None:
    """Show who votes in this epoch, and what changes with the next as things stand now."""
    with Chain(rpc) as chain:
        info = find_storage(chain.metadata, "session.committee")
        committee = _decode(info, chain.ask("state_getStorage", f"0x{chain.values.key(info, []).hex()}"))
        seats = {name: chain.view(f"session.{name}") for name in ("acting", "upcoming")}
        for seat in [*seats["acting"], *seats["upcoming"]]:
            seat["account"] = chain.address(bytes.fromhex(seat["account"][2:]))
    span = {"epoch": committee["epoch"], "first": committee["first_height"], "last": committee["last_height"]}
    if as_json:
        print_json({**span, **seats})
        return
    print_line("epoch {epoch}, blocks {first} to {last}".format(**span))
    rows = _seat_rows(seats["acting"], seats["upcoming"])
    print_table(("account", "session key", "stake", "next epoch"), rows, "no validators")


@app.command("offences", epilog=examples("consil query offences", "consil query offences --count 5 --json"))
def list_offences(count: Count = 20, rpc: Rpc = DEFAULT_RPC, as_json: Json = False) -> None:
    """Show the equivocations on record, the newest first. `consil light offences` proves them."""
    with Chain(rpc) as chain:
        numbers = newest(_stored(chain, state_key("offences.count")), count)
        found = decode_offences(numbers, {key: _stored(chain, key) for key in numbers})
        print_offences(found, chain.properties["ss58Format"], as_json, {})


def _seat_rows(acting: list[dict[str, Any]], upcoming: list[dict[str, Any]]) -> list[tuple[object, ...]]:
    """Who votes and what becomes of them, then who joins."""
    following = {seat["account"]: seat for seat in upcoming}
    rows: list[tuple[object, ...]] = []
    for seat in acting:
        then = following.pop(seat["account"], None)
        if then is None:
            change = "leaves"
        else:
            changed = [f"{name} {then[name]}" for name in ("key", "stake") if then[name] != seat[name]]
            change = ", ".join(changed) or "stays"
        rows.append((seat["account"], seat["key"], seat["stake"], change))
    joining = ((seat["account"], seat["key"], seat["stake"], "joins") for seat in following.values())
    return [*rows, *joining]


def _stored(chain: Chain, key: bytes) -> bytes | None:
    data = chain.ask("state_getStorage", f"0x{key.hex()}")
    return None if data is None else bytes.fromhex(data[2:])


def _show_entries(chain: Chain, info: StorageInfo, as_json: bool) -> None:
    """All entries of a map, up to ENTRIES_MAX."""
    entries: list[dict[str, Any]] = []
    start: list[str] = []
    while len(entries) < ENTRIES_MAX:
        page = chain.ask("state_getKeysPaged", f"0x{info.prefix}", PAGE, *start)
        for key in page:
            data = chain.ask("state_getStorage", key)
            if data is not None:
                keys = decode_value(TupleType(info.keys), bytes.fromhex(key[2:])[_PREFIX_BYTES:])
                entries.append({"keys": keys, "value": _decode(info, data)})
        if len(page) < PAGE:
            break
        start = page[-1:]
    if as_json:
        print_json(entries)
        return
    values = chain.values
    rows = [
        (
            " ".join(values.show(type_, key) for type_, key in zip(info.keys, entry["keys"], strict=True)),
            values.show(info.value, entry["value"]),
        )
        for entry in entries
    ]
    print_table(("key", "value"), rows, f"{info.name} is empty")


def _decode(info: StorageInfo, data: str) -> Any:
    try:
        return decode_value(info.value, bytes.fromhex(data[2:]))
    except ValueError as error:
        raise UserError(
            f"the node sent a value of {info.name} that does not fit ({error})", "ask another"
        ) from None


def _decode_outcome(chain: Chain, call: dict[str, Any]) -> dict[str, Any]:
    failure = call["failure"]
    return {
        "failure": None if failure is None else explain_failure(chain, failure),
        "events": [decode_event(chain, event) for event in call["events"]],
    }


def _print_pallets(found: Metadata) -> None:
    rows = [
        (pallet.index, pallet.name, ", ".join(call.name for call in pallet.calls), _first_line(pallet.docs))
        for pallet in found.pallets
    ]
    print_line(f"{found.spec_name} {found.spec_version}")
    print_table(("index", "pallet", "calls", "what it is"), rows, "no pallets")


def _print_pallet(chain: Chain, pallet: PalletInfo) -> None:
    print_line(f"{pallet.name}: {_first_line(pallet.docs)}")
    calls = {
        call.name: f"{', '.join(field.name for field in call.parameters)}\n{_first_line(call.docs)}".strip()
        for call in pallet.calls
    }
    sections: dict[str, dict[str, str]] = {
        "calls": calls,
        "storage": {
            item.name: " -> ".join(_short(type_) for type_ in (*item.keys, item.value))
            for item in pallet.storage
        },
        "events": {event.name: _first_line(event.docs) for event in pallet.events},
        "errors": {error.name: _first_line(error.docs) for error in pallet.errors},
        "constants": {one.name: chain.values.show(one.type, one.value) for one in pallet.constants},
        "views": {view.name: _first_line(view.docs) for view in pallet.views},
    }
    for title, entries in sections.items():
        if entries:
            print_line(f"\n{title}")
            print_fields({f"  {name}": text for name, text in entries.items()})


def _short(type_: Any) -> str:
    """The name of a type in one word."""
    return str(getattr(type_, "name", "") or type(type_).__name__.removesuffix("Type").lower())


def _first_line(docs: str) -> str:
    return docs.splitlines()[0] if docs else ""
