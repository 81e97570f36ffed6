"""`consil tx`: any call of the runtime, from its metadata."""

from typing import Annotated, Any

import typer

from cli.accounts import signing_key
from cli.chain import Chain
from cli.errors import UserError
from cli.lookup import find_call
from cli.options import (
    ACCOUNT_HELP,
    AMOUNT_HELP,
    DEFAULT_KEYSTORE,
    DEFAULT_RPC,
    SIGNER_HELP,
    Json,
    KeystoreDirectory,
    Rpc,
    command_group,
    examples,
)
from cli.output import print_fields, print_json, print_line, progress
from cli.records import show_event
from cli.submission import Prepared, outcome, prepare, submit, wait_finalized
from cli.values import describe, options_of
from frame.metadata import CallInfo, FieldInfo
from primitives.extrinsic import Call

app = command_group()

_ANY_CALL = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

CallName = Annotated[
    str, typer.Argument(metavar="PALLET.CALL", help="The call, as `consil query metadata` lists it.")
]
Signer = Annotated[str, typer.Option("--from", metavar="KEY", help=SIGNER_HELP)]
Tip = Annotated[str, typer.Option(help=f"Paid to the block's author for priority. {AMOUNT_HELP}")]
NonceOption = Annotated[int | None, typer.Option(help="Instead of the account's next one.", min=0)]
Wait = Annotated[bool, typer.Option("--wait", help="Return only when it is final; exit code 1 if it failed.")]


@app.command(
    "submit",
    context_settings=_ANY_CALL,
    epilog=examples(
        "consil tx submit balances.transfer --help                           what the call takes",
        "consil tx submit balances.transfer --destination //Bob --amount 1.5 --from //Alice --wait",
        "consil tx submit system.remark --text 0x6869 --from anna",
    ),
)
def submit_call(
    context: typer.Context,
    call: CallName = "",
    signer: Signer = "",
    tip: Tip = "0",
    nonce: NonceOption = None,
    wait: Wait = False,
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    rpc: Rpc = DEFAULT_RPC,
    as_json: Json = False,
) -> None:
    """Sign and send any call. Its arguments are options: `--NAME VALUE`.

    With a call, --help shows its arguments as the node describes them.
    """
    with Chain(rpc, keystore) as chain:
        encoded = _call(context, chain, call)
        prepared = signed(chain, signer, encoded, tip, nonce)
        send(chain, prepared, wait, as_json)


@app.command(
    context_settings=_ANY_CALL,
    epilog=examples(
        "consil tx sudo validators.add --help",
        "consil tx sudo validators.add --account //Eve --stake 1 --from //Alice --wait",
        "consil tx sudo validators.remove --account //Dave --from //Alice --wait",
        "consil tx submit sudo.sudo --call 'validators.remove --account //Dave' --from //Alice      the same",
    ),
)
def sudo(
    context: typer.Context,
    call: CallName = "",
    signer: Signer = "",
    tip: Tip = "0",
    nonce: NonceOption = None,
    wait: Wait = False,
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    rpc: Rpc = DEFAULT_RPC,
    as_json: Json = False,
) -> None:
    """Have a call run as root, with the key of the chain's sudo account.

    With a call, --help shows its arguments as the node describes them.
    """
    with Chain(rpc, keystore) as chain:
        inner = _call(context, chain, call)
        _ensure_sudo(chain, signer)
        prepared = signed(chain, signer, chain.values.wrap("sudo.sudo", inner), tip, nonce)
        send(chain, prepared, wait, as_json)


@app.command(
    "dry-run",
    context_settings=_ANY_CALL,
    epilog=examples("consil tx dry-run balances.transfer --destination //Bob --amount 1.5 --from //Alice"),
)
def dry_run(
    context: typer.Context,
    call: CallName = "",
    signer: Signer = "",
    tip: Tip = "0",
    nonce: NonceOption = None,
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    rpc: Rpc = DEFAULT_RPC,
    as_json: Json = False,
) -> None:
    """Sign a call and show its fee, weight and bytes, without sending it."""
    with Chain(rpc, keystore) as chain:
        prepared = signed(chain, signer, _call(context, chain, call), tip, nonce)
        document = _document(prepared) | {"extrinsic": f"0x{prepared.data.hex()}"}
        if as_json:
            print_json(document)
        else:
            print_fields(document | {"fee": chain.token.format(prepared.fee)})


@app.command(
    epilog=examples(
        "consil tx transfer //Bob 1.5 --from //Alice --wait",
        "consil tx transfer 5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu '1500 plank' --from anna",
    )
)
def transfer(
    destination: Annotated[str, typer.Argument(help=f"Who receives. {ACCOUNT_HELP}")],
    amount: Annotated[str, typer.Argument(help=AMOUNT_HELP)],
    signer: Signer,
    tip: Tip = "0",
    nonce: NonceOption = None,
    wait: Wait = False,
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    rpc: Rpc = DEFAULT_RPC,
    as_json: Json = False,
) -> None:
    """Send tokens to an account."""
    with Chain(rpc, keystore) as chain:
        call = chain.values.call("balances.transfer", {"destination": destination, "amount": amount})
        send(chain, signed(chain, signer, call, tip, nonce), wait, as_json)


@app.command(epilog=examples("consil tx status 0x5d0e...", "consil tx status 0x5d0e... --json"))
def status(
    hash_: Annotated[str, typer.Argument(metavar="HASH", help="The hash that `consil tx` printed.")],
    rpc: Rpc = DEFAULT_RPC,
    as_json: Json = False,
) -> None:
    """Show what became of a transaction: pending, finalized or unknown."""
    with Chain(rpc) as chain:
        found = chain.ask("author_extrinsicStatus", hash_)
        document = outcome(chain, found) if found["status"] == "finalized" else {"status": found["status"]}
        _show(chain, {"hash": hash_} | document, as_json)


def _call(context: typer.Context, chain: Chain, name: str) -> Call:
    """The call on the command line; shows its help instead if that is asked for."""
    wants_help = "--help" in context.args
    if not name or name.startswith("-"):
        if wants_help or name == "--help":
            typer.echo(context.get_help())
            raise typer.Exit
        raise typer.BadParameter(
            "name a call first, as in balances.transfer", ctx=context, param_hint="PALLET.CALL"
        )
    if wants_help:
        _print_help(f"{context.command_path} {name}", find_call(chain.metadata, name)[1])
        raise typer.Exit
    try:
        arguments = options_of(context.args)
    except ValueError as error:
        raise typer.BadParameter(str(error), ctx=context, param_hint="arguments") from None
    return chain.values.call(name, arguments)


def _ensure_sudo(chain: Chain, signer: str) -> None:
    """Raises UserError if the signer would only pay to be refused."""
    root = chain.view("sudo.account")
    if root is None:
        raise UserError("this chain has no sudo account", "its specification names none")
    address = chain.address(bytes.fromhex(root[2:]))
    if signer and chain.address(signing_key(signer, chain.keystore).public_key) != address:
        raise UserError(f"{signer} is not the sudo account of this chain", f"sign with --from for {address}")


def _print_help(command: str, info: CallInfo) -> None:
    typer.echo(f"Usage: {command} [ARGUMENTS] --from KEY\n\n  {info.docs}\n")
    if info.parameters:
        typer.echo("Arguments:")
        print_fields({f"  --{field.name}": _explain(field) for field in info.parameters})
    typer.echo("\nOptions of every call: see `consil tx submit --help`.")


def _explain(field: FieldInfo) -> str:
    return f"{describe(field.type)}\n{field.docs}".strip()


def signed(chain: Chain, signer: str, call: Call, tip: str = "0", nonce: int | None = None) -> Prepared:
    """The call as a transaction of `signer`, not sent. Raises UserError, and BadParameter for no signer."""
    if not signer:
        raise typer.BadParameter(
            "say whose key signs: //Alice, or a name in the keystore", param_hint="--from"
        )
    return prepare(chain, signing_key(signer, chain.keystore), call, chain.token.parse(tip), nonce)


def send(chain: Chain, prepared: Prepared, wait: bool, as_json: bool) -> None:
    """Submit a transaction, wait for it if asked to, and show what became of it. Raises UserError."""
    submit(chain, prepared)
    document = _document(prepared) | {"status": "pending"}
    if wait:
        with progress(
            f"sent {prepared.hash}; fee {chain.token.format(prepared.fee)}", silent=as_json
        ) as report:
            document |= wait_finalized(chain, prepared, report.note)
    _show(chain, document, as_json)
    if "failure" in document:
        raise UserError(
            f"it is final but failed ({document['failure']})", "its fee was charged, nothing else changed"
        )


def _document(prepared: Prepared) -> dict[str, Any]:
    names = ("hash", "signer", "nonce", "expires", "fee", "weight")
    return {name: getattr(prepared, name) for name in names}


def _show(chain: Chain, document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    shown = ("hash", "status", "height", "failure")
    fields: dict[str, object] = {name: document[name] for name in shown if name in document}
    if "fee" in document:
        fields["fee"] = chain.token.format(document["fee"])
    print_fields(fields)
    for event in document.get("events", ()):
        print_line(f"  {show_event(chain, event)}")
