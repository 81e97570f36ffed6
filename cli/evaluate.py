"""`consil model evaluate`: how good a model is on samples, as validators attest it in integers."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cli.accounts import signing_key
from cli.chain import Chain
from cli.datasets import dataset_of
from cli.errors import UserError
from cli.exact import certificate_of
from cli.files import read_bytes
from cli.measured import MetricName, evaluation_document, show
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
from cli.output import progress
from cli.submission import event_fields, execute
from inference.certificate import ExactnessCertificate
from inference.evaluation import Metric
from primitives.hashing import blake2b_256
from primitives.signing import SigningKey

EPILOG: Final = examples(
    "consil model evaluate 0xMODEL --samples test.csv --name held-out --from //Alice",
    "consil model evaluate 0xMODEL --samples test.npz --name held-out --licence LICENCE.txt --from anna",
    "consil model evaluate 0xMODEL --samples scenes.npz --name scenes --metric masks --from anna",
)
LICENCE_BYTES_MAX: Final = 1024 * 1024

_POLL_S: Final = 0.2


def evaluate(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Its identity, as `consil model list` shows it.")
    ],
    samples: Annotated[
        Path, typer.Option("--samples", metavar="PATH", help="An .npz or .csv with a label for each sample.")
    ],
    name: Annotated[str, typer.Option(help="What to call the data set, if it is not registered yet.")],
    signer: Annotated[str, typer.Option("--from", metavar="KEY", help=SIGNER_HELP)],
    metric: Annotated[
        MetricName, typer.Option(help="What to measure: shares of classes, errors, or overlaps of classes.")
    ] = MetricName.CLASSIFICATION,
    licence: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The licence of the data; its hash is registered.")
    ] = None,
    card: Annotated[Path | None, typer.Option(metavar="JSON", help="How samples become inputs.")] = None,
    max_fee: Annotated[
        str | None, typer.Option(help=f"Most to pay; else what is asked now. {AMOUNT_HELP}")
    ] = None,
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    rpc: Rpc = DEFAULT_RPC,
    as_json: Json = False,
) -> None:
    """Measure a proven model on samples: every validator runs every one, and they attest the counts.

    The samples become a data set of integers, which everybody can read; it is registered on the chain by its
    hash if it is not yet, with a deposit. What is right of a sample is its label.

    classification: the number of a class. regression: a number for each element of the output; R^2 is an
    exact ratio. masks: the class of each pixel, for an output [1, classes, height, width], or 0 and 1 for one
    number for each pixel, where positive is 1; intersection over union for each class. sequences: the class
    of each step, for an output whose last dimension has the classes; the share of steps. In masks and
    sequences -1 is a place that does not count.
    """
    with Chain(rpc, keystore) as chain, progress("reading the samples", silent=as_json) as report:
        key = signing_key(signer, chain.keystore)
        certificate = _certificate(chain, model)
        rows, data = dataset_of(certificate, Metric[metric.name], samples, card)
        text = b"" if licence is None else read_bytes(licence, LICENCE_BYTES_MAX)
        report.note(f"sending {len(rows)} rows, {len(data)} bytes")
        dataset = _registered(chain, key, data, len(rows), name, text, report.note)
        arguments = {"model": model, "dataset": dataset, "metric": metric.value}
        job = _requested(chain, key, arguments, max_fee, report.note)
        record = _wait(chain, job, report.note)
    show(evaluation_document(certificate, job, record), as_json)


def _certificate(chain: Chain, model: str) -> ExactnessCertificate:
    proof = chain.view("models.proof", model=model)
    if proof is None:
        raise UserError(f"the model {model} is not proven", "`consil model show` tells its state")
    return certificate_of(proof["verdict"])


def _registered(
    chain: Chain,
    key: SigningKey,
    data: bytes,
    rows: int,
    name: str,
    licence: bytes,
    note: Callable[[str], None],
) -> str:
    """The identity of the signer's data set, registered now if it was not."""
    blob = chain.upload(data)
    known = chain.view("evaluation.dataset", owner=f"0x{key.public_key.hex()}", blob=blob)
    if known is not None:
        return str(known["id"])
    arguments = {
        "blob": blob,
        "size_bytes": str(len(data)),
        "rows": str(rows),
        "name": name,
        "licence": f"0x{blake2b_256(licence).hex()}",
    }
    done = execute(chain, key, "evaluation.register_dataset", arguments, note)
    return str(event_fields(done, "evaluation.DatasetRegistered")["dataset"])


def _requested(
    chain: Chain,
    key: SigningKey,
    arguments: dict[str, str],
    max_fee: str | None,
    note: Callable[[str], None],
) -> str:
    """The job of a new evaluation. Raises UserError."""
    cost = chain.view("evaluation.quote", **arguments)
    if cost is None:
        raise UserError(
            f"the model {arguments['model']} cannot be used", "`consil model show` tells its state"
        )
    most = cost if max_fee is None else chain.token.parse(max_fee)
    if most < cost:
        raise UserError(f"it costs {chain.token.format(cost)}, more than --max-fee", "pay more")
    done = execute(chain, key, "evaluation.evaluate", {**arguments, "max_fee": f"{most} plank"}, note)
    return str(event_fields(done, "evaluation.EvaluationRequested")["job"])


def _wait(chain: Chain, job: str, note: Callable[[str], None]) -> dict[str, Any]:
    """The record of an evaluation; jobs have deadlines, so that there always is one."""
    while True:
        found: dict[str, Any] | None = chain.view("evaluation.receipt", job=job)
        if found is not None:
            return found
        note("every validator runs the model on every row")
        time.sleep(_POLL_S)
