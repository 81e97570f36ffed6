"""`consil model deploy` and `consil infer now`: models that every node runs while it executes a block."""

from typing import Annotated, Final

import typer

from cli.accounts import signing_key
from cli.chain import Chain
from cli.errors import UserError
from cli.exact import certificate_of, outputs_document
from cli.inputs import InputOption, RowOption, SamplesOption, read_input, tell_limited
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
from cli.submission import event_fields, execute
from inference.certificate import decode_outputs, encode_inputs

DEPLOY: Final = examples("consil model deploy 0xMODEL --from //Alice")
NOW: Final = examples(
    "consil infer now 0xMODEL --samples test.csv --row 3 --from //Alice",
    "consil infer now 0xMODEL --input '[0.5, 1.25, 7]' --max-price 0.1 --from anna --json",
)

Model = Annotated[str, typer.Argument(metavar="MODEL", help="Its identity, as `consil model list` shows it.")]
Signer = Annotated[str, typer.Option("--from", metavar="KEY", help=SIGNER_HELP)]


def deploy(
    model: Model,
    signer: Signer,
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    rpc: Rpc = DEFAULT_RPC,
    as_json: Json = False,
) -> None:
    """Let a proven model of yours be run in blocks, some blocks from now.

    Every node keeps its file as long as the chain lives, so that the price is not given back. The model must
    be small, cheap to run, and proven without an assumption.
    """
    with Chain(rpc, keystore) as chain, progress("deploying", silent=as_json) as report:
        key = signing_key(signer, chain.keystore)
        done = execute(chain, key, "instant.deploy", {"model": model}, report.note)
        event = event_fields(done, "instant.ModelDeployed")
    document = {"model": model, "blob": event["blob"], "since": event["since"]}
    if as_json:
        print_json(document)
    else:
        print_fields(document)


def now(
    model: Model,
    signer: Signer,
    input_: InputOption = None,
    samples: SamplesOption = None,
    row: RowOption = 1,
    max_price: Annotated[
        str | None, typer.Option(help=f"Most to pay to the owner; else what is asked. {AMOUNT_HELP}")
    ] = None,
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    rpc: Rpc = DEFAULT_RPC,
    as_json: Json = False,
) -> None:
    """Run a deployed model in a block: the answer is final together with the question.

    Every node computes it while it executes the block. Input and answer are public.
    """
    with Chain(rpc, keystore) as chain, progress("running the model in a block", silent=as_json) as report:
        key = signing_key(signer, chain.keystore)
        deployed = chain.view("instant.deployed", model=model)
        info = chain.view("models.get", model=model)
        if deployed is None or info is None:
            raise UserError(
                f"the model {model} is not run in blocks", "its owner can `consil model deploy` it"
            )
        certificate = certificate_of(deployed["certificate"])
        encoded = read_input(certificate, input_, samples, row)
        tell_limited(encoded.limited)
        price = info["model"]["price"] if max_price is None else chain.token.parse(max_price)
        arguments = {
            "model": model,
            "input": f"0x{encode_inputs(certificate, encoded.tensors).hex()}",
            "max_gas": str(certificate.gas),
            "max_price": f"{price} plank",
        }
        done = execute(chain, key, "instant.infer_now", arguments, report.note)
        event = event_fields(done, "instant.Answered")
    tensors = decode_outputs(certificate, bytes.fromhex(event["output"][2:]))
    answer = outputs_document(certificate, tensors)
    document = {"id": event["id"], "height": done["height"], **answer}
    if as_json:
        print_json(document)
        return
    values = document.pop("values")
    print_fields(document | values)
