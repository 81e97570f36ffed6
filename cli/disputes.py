"""`consil infer challenge`: to doubt an answer, and have all validators compute it again."""

import time
from typing import Annotated, Any, Final

import typer

from cli.accounts import signing_key
from cli.chain import Chain
from cli.errors import UserError
from cli.options import (
    AMOUNT_HELP,
    DEFAULT_KEYSTORE,
    DEFAULT_RPC,
    SIGNER_HELP,
    Json,
    KeystoreDirectory,
    Rpc,
    examples,
)
from cli.output import print_fields, print_json, progress
from cli.submission import execute

EPILOG: Final = examples(
    "consil infer challenge 0xREQUEST --from //Bob --wait",
    "consil infer challenge 0xREQUEST --max-bond 2 --from anna",
)

_POLL_S: Final = 0.2


def challenge(
    job: Annotated[
        str,
        typer.Argument(metavar="REQUEST", help="A request, or the job that proved a model."),
    ],
    signer: Annotated[str, typer.Option("--from", metavar="KEY", help=SIGNER_HELP)],
    max_bond: Annotated[
        str | None, typer.Option(help=f"Most to put up; else what is asked now. {AMOUNT_HELP}")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Return when it is ruled on.")] = False,
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    rpc: Rpc = DEFAULT_RPC,
    as_json: Json = False,
) -> None:
    """Doubt an attested result: all validators do the work again, and what they find then holds.

    You pay for the work, and put up a bond besides. If the result was wrong you get both back (the price of
    the work as far as the treasury has it); if it was right you lose the bond.
    """
    with Chain(rpc, keystore) as chain:
        key = signing_key(signer, chain.keystore)
        bond = chain.view("disputes.bond", job=job)
        if bond is None:
            raise UserError(f"{job} cannot be challenged", "it has no result, is challenged, or is too old")
        most = bond if max_bond is None else chain.token.parse(max_bond)
        if most < bond:
            raise UserError(f"the bond is {chain.token.format(bond)}, more than --max-bond", "put up more")
        arguments = {"job": job, "max_bond": f"{most} plank"}
        with progress("sending the challenge", silent=as_json) as report:
            execute(chain, key, "disputes.challenge", arguments, report.note)
            while wait and chain.view("disputes.unsettled", job=job) is not None:
                report.note("validators do the work again")
                time.sleep(_POLL_S)
        document = {"challenged": job, "bond": bond, "status": "open" if not wait else "ruled"}
        record = chain.view("inference.receipt", job=job) if wait else None
        if record is not None:
            document["overturned"] = record["is_overturned"]
    if as_json:
        print_json(document)
    else:
        print_fields(document | {"bond": chain.token.format(bond)})


def disputed(chain: Chain, job: str, record: dict[str, Any]) -> dict[str, Any]:
    """Whether an answer was changed, is doubted, or can be."""
    past = chain.view("disputes.unsettled", job=job)
    if past is None:
        return {"dispute": "overturned: another answer stood here"} if record["is_overturned"] else {}
    if past["challenge"] is not None:
        return {"dispute": "challenged: validators compute it again"}
    return {"dispute": f"can be challenged up to block {past['until']}"}
