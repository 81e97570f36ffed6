"""`consil key`: Ed25519 keys from words and paths, kept in files that only their owner reads."""

import secrets
from pathlib import Path
from typing import Annotated, Final

import typer

from cli.accounts import account_of, bytes_of_hex, open_keystore, seed_of_secret, signing_key
from cli.chain import Chain
from cli.errors import UserError
from cli.options import (
    ACCOUNT_HELP,
    DEFAULT_KEYSTORE,
    DEFAULT_RPC,
    SIGNER_HELP,
    Json,
    KeystoreDirectory,
    Rpc,
    Yes,
    command_group,
    examples,
)
from cli.output import print_fields, print_json, print_line, print_table
from cli.tx import send, signed
from node.identity import node_seed, session_seed
from node.keystore.store import Keystore, KeystoreError
from node.network.identity import peer_id_of
from primitives.hashing import domain
from primitives.mnemonic import phrase_from_entropy, seed_from_phrase
from primitives.signing import SigningKey, verify
from primitives.ss58 import encode_address
from primitives.types import AccountId, Seed

app = command_group()

MESSAGE_DOMAIN: Final = domain("message/1")
"""Before every message that a person signs, so that it can never be a transaction or a vote."""

_ENTROPY_BYTES: Final = {12: 16, 15: 20, 18: 24, 21: 28, 24: 32}
_SECRET_HELP: Final = (
    "A phrase, '//Alice', 'phrase//path///password', 0x and 64 digits, or - to type it unseen."
)


@app.command(
    epilog=examples(
        "consil key generate                  show a new phrase, keep nothing",
        "consil key generate --name anna      also keep it in the keystore",
    )
)
def generate(
    name: Annotated[str | None, typer.Option(help="Keep the key under this name.")] = None,
    words: Annotated[int, typer.Option(help="Length of the phrase: 12, 15, 18, 21 or 24.")] = 12,
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    as_json: Json = False,
) -> None:
    """Make a new key from fresh randomness and show its phrase.

    Keep the phrase: it is the key. With --name the key is also kept in a file of mode 0600 (readable by you
    alone, not encrypted yet).
    """
    if words not in _ENTROPY_BYTES:
        raise typer.BadParameter("a phrase has 12, 15, 18, 21 or 24 words", param_hint="--words")
    phrase = phrase_from_entropy(secrets.token_bytes(_ENTROPY_BYTES[words]))
    seed = seed_from_phrase(phrase)
    document = {"phrase": phrase, **_describe(seed)}
    if name is not None:
        document |= {"name": name, "file": str(_add(open_keystore(keystore), name, seed))}
    _show(document, as_json)


@app.command(
    epilog=examples(
        "consil key inspect //Alice",
        "consil key inspect 5FA9nQDVg267DEd8m1ZypXLBnvN7SFxYwV7ndqSYGiN9TTpu",
        "consil key inspect -                 type the phrase; it stays out of the shell's history",
    )
)
def inspect(
    key: Annotated[str, typer.Argument(help=f"{ACCOUNT_HELP} Or a phrase, or - to type it unseen.")],
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    as_json: Json = False,
) -> None:
    """Show the address and the public key of a key. Never shows a secret."""
    if key == "-" or " " in key:
        public_key = bytes(SigningKey(seed_of_secret(key)).public_key)
    else:
        public_key = bytes(account_of(key, open_keystore(keystore)))
    _show(_describe_public(public_key), as_json)


@app.command(
    epilog=examples(
        "consil key sign 'I own this address' --key anna", "consil key sign 0x00ff --hex --key //Alice"
    )
)
def sign(
    message: Annotated[str, typer.Argument(help="The text to sign.")],
    key: Annotated[str, typer.Option(help=SIGNER_HELP)],
    as_hex: Annotated[bool, typer.Option("--hex", help="The message is 0x and hexadecimal digits.")] = False,
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    as_json: Json = False,
) -> None:
    """Sign a message. What is signed can never be used as a transaction."""
    signer = signing_key(key, open_keystore(keystore))
    signature = signer.sign(MESSAGE_DOMAIN + _message_bytes(message, as_hex))
    address = encode_address(AccountId(signer.public_key))
    if as_json:
        print_json({"address": address, "signature": f"0x{signature.hex()}"})
    else:
        print_line(f"0x{signature.hex()}")


@app.command("verify", epilog=examples("consil key verify 'I own this address' 0xSIGNATURE --key 5FA9n..."))
def verify_message(
    message: Annotated[str, typer.Argument(help="The text that was signed.")],
    signature: Annotated[str, typer.Argument(help="0x and 128 digits, as `consil key sign` prints it.")],
    key: Annotated[str, typer.Option(help=f"Who is said to have signed. {ACCOUNT_HELP}")],
    as_hex: Annotated[bool, typer.Option("--hex", help="The message is 0x and hexadecimal digits.")] = False,
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    as_json: Json = False,
) -> None:
    """Check the signature of a message; exit code 1 if it is not valid."""
    account = account_of(key, open_keystore(keystore))
    data = MESSAGE_DOMAIN + _message_bytes(message, as_hex)
    valid = verify(account, data, bytes_of_hex(signature, 64, "a signature"))
    if as_json:
        print_json({"address": encode_address(account), "valid": valid})
    if not valid:
        raise UserError(
            f"the signature is not by {encode_address(account)} over this message",
            "check both, to the letter",
        )
    if not as_json:
        print_line(f"valid: signed by {encode_address(account)}")


@app.command("list", epilog=examples("consil key list", "consil key list --json"))
def list_keys(keystore: KeystoreDirectory = DEFAULT_KEYSTORE, as_json: Json = False) -> None:
    """List the keys of the keystore, without their secrets."""
    store = open_keystore(keystore)
    keys = [{"name": name, **_describe_public(signing_key(name, store).public_key)} for name in store.names()]
    if as_json:
        print_json(keys)
    else:
        empty = f"no keys in {store.directory}; make one with `consil key generate --name NAME`"
        print_table(("name", "address"), [(key["name"], key["address"]) for key in keys], empty)


@app.command(
    "import",
    epilog=examples(
        "consil key import anna -              type the phrase unseen", "consil key import test //Test"
    ),
)
def import_key(
    name: Annotated[str, typer.Argument(help="The name to keep it under.")],
    secret: Annotated[str, typer.Argument(help=_SECRET_HELP)] = "-",
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    as_json: Json = False,
) -> None:
    """Keep an existing key in the keystore, in a file of mode 0600 (not encrypted yet)."""
    seed = seed_of_secret(secret)
    path = _add(open_keystore(keystore), name, seed)
    _show({"name": name, "file": str(path), **_describe(seed)}, as_json)


@app.command(epilog=examples("consil key export anna"))
def export(
    name: Annotated[str, typer.Argument(help="A name in the keystore.")],
    yes: Yes = False,
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    as_json: Json = False,
) -> None:
    """Show the secret seed of a key. Whoever sees it owns the account."""
    try:
        seed = open_keystore(keystore).seed_of(name)
    except KeystoreError as error:
        raise UserError(str(error), "`consil key list` shows what there is") from None
    if not yes:
        typer.confirm(f"Show the secret of '{name}' on this screen?", abort=True, err=True)
    if as_json:
        print_json({"name": name, "seed": f"0x{seed.hex()}"})
    else:
        print_line(f"0x{seed.hex()}")


@app.command(epilog=examples("consil key node-key ~/.consilience/chains/local/keystore"))
def node_key(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="A node's keystore: BASE/chains/ID/keystore.")
    ],
    as_json: Json = False,
) -> None:
    """Show the peer id of a node, by which others name it in --bootnode.

    Its key is made if there is none, in a file of mode 0600.
    """
    try:
        seed = node_seed(directory.expanduser())
    except KeystoreError as error:
        raise UserError(str(error), "choose a directory that you can write to") from None
    _show({"directory": str(directory), "peerId": peer_id_of(seed)}, as_json)


@app.command("session-key", epilog=examples("consil key session-key /var/lib/consil/chains/mine/keystore"))
def session_key(
    directory: Annotated[Path, typer.Argument(help="The keystore of a node, DIR/chains/ID/keystore.")],
    as_json: Json = False,
) -> None:
    """Show the session key of a node, by which a chain specification names a validator.

    Made with its vote journal if there is none. It is for one chain only: never copy it, nor its journal.
    """
    try:
        key = SigningKey(session_seed(directory.expanduser())).public_key
    except KeystoreError as error:
        raise UserError(str(error), "choose a directory that you can write to") from None
    document = {"directory": str(directory), "sessionKey": f"0x{key.hex()}"}
    _show(document, as_json)


@app.command(
    "rotate-session",
    epilog=examples(
        "consil key rotate-session --from //validator-1 --rpc http://127.0.0.1:9944 --wait",
        "consil key rotate-session --from anna --wait      the node on this machine",
    ),
)
def rotate_session(
    signer: Annotated[
        str, typer.Option("--from", metavar="KEY", help=f"The account that validates. {SIGNER_HELP}")
    ],
    wait: Annotated[
        bool, typer.Option("--wait", help="Return only when it is final; exit code 1 if it failed.")
    ] = False,
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    rpc: Rpc = DEFAULT_RPC,
    as_json: Json = False,
) -> None:
    """Have a node make a new session key, and register it for the account that validates with that node.

    The node votes with it from the next epoch on, and with its old key until then: leave it running.
    """
    with Chain(rpc, keystore) as chain:
        account = signing_key(signer, chain.keystore).public_key
        made = chain.ask("author_rotateKeys", f"0x{account.hex()}")
        call = chain.values.call("session.set_key", {"key": made["key"], "proof": made["proof"]})
        send(chain, signed(chain, signer, call), wait, as_json)


@app.command(
    epilog=examples(
        "consil key seal --from //validator-1 --rpc http://127.0.0.1:9944 --wait",
        "consil key seal --from anna --rotate --wait      with a new key",
    ),
)
def seal(
    signer: Annotated[
        str, typer.Option("--from", metavar="KEY", help=f"The account that validates. {SIGNER_HELP}")
    ],
    rotate: Annotated[
        bool, typer.Option("--rotate", help="Have the node make another key first; it keeps the old ones.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Return only when it is final; exit code 1 if it failed.")
    ] = False,
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    rpc: Rpc = DEFAULT_RPC,
    as_json: Json = False,
) -> None:
    """Register the key of a node to which private inputs are sealed, for the account that validates with it.

    It is a key of its own, never the session key. A deposit is held while it is registered. A validator
    without one answers public requests only.
    """
    with Chain(rpc, keystore) as chain:
        key = chain.ask("author_rotateSealingKey" if rotate else "author_sealingKey")
        call = chain.values.call("sealing.set_key", {"key": key})
        send(chain, signed(chain, signer, call), wait, as_json)


def _describe(seed: Seed) -> dict[str, str]:
    return _describe_public(SigningKey(seed).public_key)


def _describe_public(public_key: bytes) -> dict[str, str]:
    return {"address": encode_address(AccountId(public_key)), "publicKey": f"0x{public_key.hex()}"}


def _show(document: dict[str, str], as_json: bool) -> None:
    labels = {"publicKey": "public key", "peerId": "peer id", "sessionKey": "session key"}
    if as_json:
        print_json(document)
    else:
        print_fields({labels.get(name, name): value for name, value in document.items()})


def _add(store: Keystore, name: str, seed: Seed) -> Path:
    try:
        return store.add(name, seed)
    except KeystoreError as error:
        raise UserError(str(error)) from None


def _message_bytes(message: str, as_hex: bool) -> bytes:
    return bytes_of_hex(message, None, "hexadecimal bytes") if as_hex else message.encode()
