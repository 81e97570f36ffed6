"""`consil model`: from a float model to an exact one that validators have proven."""

import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cli import model_exact
from cli.accounts import signing_key
from cli.chain import Chain
from cli.errors import UserError
from cli.evaluate import EPILOG as EVALUATE
from cli.evaluate import evaluate
from cli.exact import (
    certificate_document,
    certificate_fields,
    certificate_of,
    prove_file,
)
from cli.files import read_model
from cli.instant import DEPLOY, deploy
from cli.measured import VERIFY, verify
from cli.options import (
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
from cli.output import print_fields, print_json, print_line, print_table, progress
from cli.submission import event_fields, execute

app = command_group()
app.add_typer(model_exact.app)

_POLL_S: Final = 0.2
_PAGE: Final = 100

File = Annotated[Path, typer.Argument(help="An ONNX file.")]
ModelId = Annotated[
    str, typer.Argument(metavar="MODEL", help="Its identity, as `consil model list` shows it.")
]


@app.command(
    epilog=examples("consil model register exact.onnx --name diagnosis --price 0.01 --from //Alice --wait")
)
def register(
    file: File,
    name: Annotated[str, typer.Option(help="What to call it.")],
    signer: Annotated[str, typer.Option("--from", metavar="KEY", help=SIGNER_HELP)],
    price: Annotated[str, typer.Option(help=f"What each inference pays you. {AMOUNT_HELP}")] = "0",
    wait: Annotated[
        bool, typer.Option("--wait", help="Return when validators have proven or refused it.")
    ] = False,
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    rpc: Rpc = DEFAULT_RPC,
    as_json: Json = False,
) -> None:
    """Put an exact model on the chain: the node takes the file, and every validator proves it.

    A deposit is held while it is registered. The model can be used once more than two thirds of the stake
    have found the same certificate.
    """
    data = read_model(file)
    prove_file(data, file)
    with (
        Chain(rpc, keystore) as chain,
        progress(f"proven here; sending {len(data)} bytes", silent=as_json) as report,
    ):
        key = signing_key(signer, chain.keystore)
        arguments = {"blob": chain.upload(data), "size_bytes": str(len(data)), "name": name, "price": price}
        done = execute(chain, key, "models.register", arguments, report.note)
        model = str(event_fields(done, "models.Registered")["model"])
        found = _wait_proven(chain, model, report.note) if wait else chain.view("models.get", model=model)
        _show(chain, found, as_json)
    if wait and found["model"]["state"] != "proven":
        why = found["refusal"] or "validators did not come to a verdict"
        raise UserError(f"the model is {found['model']['state']}: {why}", "it cannot be used")


app.command(epilog=EVALUATE)(evaluate)
app.command(epilog=VERIFY)(verify)
app.command(epilog=DEPLOY)(deploy)


@app.command("list", epilog=examples("consil model list", "consil model list --json"))
def list_models(rpc: Rpc = DEFAULT_RPC, as_json: Json = False) -> None:
    """List the models on the chain."""
    with Chain(rpc) as chain:
        found: list[dict[str, Any]] = []
        after: str | None = None
        while True:
            page = chain.view("models.page", after=after, limit=_PAGE)
            found += page
            if len(page) < _PAGE:
                break
            after = page[-1]["id"]
        if as_json:
            print_json(found)
            return
        rows = [
            (
                one["model"]["name"],
                one["model"]["state"],
                chain.token.format(one["model"]["price"]),
                one["id"],
            )
            for one in found
        ]
        print_table(("name", "state", "price", "id"), rows, "no models; add one with `consil model register`")


@app.command(epilog=examples("consil model show 0x5d0e..."))
def show(model: ModelId, rpc: Rpc = DEFAULT_RPC, as_json: Json = False) -> None:
    """Show a model, its state, and who attested its proof."""
    with Chain(rpc) as chain:
        found = chain.view("models.get", model=model)
        if found is None:
            raise UserError(f"no model {model}", "`consil model list` shows those there are")
        _show(chain, found, as_json)


def _wait_proven(chain: Chain, model: str, note: Any) -> dict[str, Any]:
    """The model once its job has ended; jobs have deadlines, so that they always do."""
    while True:
        found: dict[str, Any] = chain.view("models.get", model=model)
        if found["model"]["state"] != "draft":
            return found
        note("registered; every validator is proving it")
        time.sleep(_POLL_S)


def _show(chain: Chain, found: dict[str, Any], as_json: bool) -> None:
    proof = chain.view("models.proof", model=found["id"])
    seats = [] if proof is None else proof["attestations"]
    certificate = None
    if proof is not None and found["refusal"] is None:
        certificate = certificate_document(certificate_of(proof["verdict"]))
    if as_json:
        own = {"id": found["id"], **found["model"], "refusal": found["refusal"]}
        print_json({**own, "certificate": certificate, "attestations": seats})
        return
    model = found["model"]
    print_fields(
        {
            "id": found["id"],
            "name": model["name"],
            "state": model["state"] + (f" ({found['refusal']})" if found["refusal"] else ""),
            "hash": model["exact_hash"] or "not proven",
            "gas": model["gas"],
            "price": chain.token.format(model["price"]),
            "owner": chain.address(bytes.fromhex(model["owner"][2:])),
            **certificate_fields(certificate),
        }
    )
    print_seats(seats)


def print_seats(seats: list[dict[str, Any]]) -> None:
    """Who attested, and what became of each seat."""
    if seats:
        print_line("")
        rows = [(seat["key"], seat["stake"], seat["conduct"]) for seat in seats]
        print_table(("validator", "stake", "attestation"), rows, "nobody")
