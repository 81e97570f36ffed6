"""`consil model evaluate`: how good a model is on samples, as validators attest it in integers."""

import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cli.accounts import signing_key
from cli.chain import Chain
from cli.errors import UserError
from cli.exact import certificate_of
from cli.inputs import find_card, read_bytes, read_samples, taken
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
from cli.output import print_fields, print_json, print_line, print_table, progress
from cli.submission import event_fields, execute
from inference.certificate import ExactnessCertificate
from inference.encoding import EncodingError, encode
from inference.evaluation import DATASET_BYTES_MAX, Row, Unusable, decode_evaluation, encode_dataset
from primitives.codec import CodecError
from primitives.hashing import blake2b_256
from primitives.signing import SigningKey

EPILOG: Final = examples(
    "consil model evaluate 0xMODEL --samples test.csv --name held-out --from //Alice",
    "consil model evaluate 0xMODEL --samples test.npz --name held-out --licence LICENCE.txt --from anna",
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
    hash if it is not yet, with a deposit. A label is the number of a class.
    """
    with Chain(rpc, keystore) as chain, progress("reading the samples", silent=as_json) as report:
        key = signing_key(signer, chain.keystore)
        certificate = _certificate(chain, model)
        rows = _rows(certificate, samples, card)
        data = encode_dataset(rows)
        if len(data) > DATASET_BYTES_MAX:
            raise UserError(
                f"the data set has {len(data)} bytes, at most {DATASET_BYTES_MAX} are taken", "take fewer"
            )
        text = b"" if licence is None else read_bytes(licence, LICENCE_BYTES_MAX)
        report.note(f"sending {len(rows)} rows, {len(data)} bytes")
        dataset = _registered(chain, key, data, len(rows), name, text, report.note)
        job = _requested(chain, key, model, dataset, max_fee, report.note)
        record = _wait(chain, job, report.note)
    document = _document(job, record)
    if as_json:
        print_json(document)
    else:
        _print(document)
    if document["status"] != "measured":
        raise UserError(
            f"there is no result: {document.get('reason', 'no quorum')}", "see who abstained, or the samples"
        )


def _certificate(chain: Chain, model: str) -> ExactnessCertificate:
    proof = chain.view("models.proof", model=model)
    if proof is None:
        raise UserError(f"the model {model} is not proven", "`consil model show` tells its state")
    return certificate_of(proof["verdict"])


def _rows(certificate: ExactnessCertificate, samples: Path, card: Path | None) -> list[Row]:
    """The samples in the integers of the model. Raises UserError."""
    found = read_samples(samples, taken(certificate), find_card(card, None))
    if not found.labels:
        raise UserError(f"{samples} has no labels", "name the column or array of the classes 'label'")
    rows = []
    for sample, label, title in zip(found.samples, found.labels, found.names, strict=True):
        values: dict[str, Sequence[Fraction]] = {
            name: [Fraction(repr(float(each))) for each in array.flat] for name, array in sample.items()
        }
        try:
            rows.append(Row(encode(certificate, values).tensors, (int(label),)))
        except (EncodingError, ValueError) as error:
            raise UserError(f"{title}: {error}", "a label is the number of a class") from None
    try:
        encode_dataset(rows)
    except CodecError as error:
        raise UserError(f"{samples}: {error}", "take fewer samples") from None
    return rows


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
    chain: Chain, key: SigningKey, model: str, dataset: str, max_fee: str | None, note: Callable[[str], None]
) -> str:
    """The job of a new evaluation. Raises UserError."""
    cost = chain.view("evaluation.quote", model=model, dataset=dataset)
    if cost is None:
        raise UserError(f"the model {model} cannot be used", "`consil model show` tells its state")
    most = cost if max_fee is None else chain.token.parse(max_fee)
    if most < cost:
        raise UserError(f"it costs {chain.token.format(cost)}, more than --max-fee", "pay more")
    arguments = {
        "model": model,
        "dataset": dataset,
        "metric": "classification",
        "max_fee": f"{most} plank",
    }
    done = execute(chain, key, "evaluation.evaluate", arguments, note)
    return str(event_fields(done, "evaluation.EvaluationRequested")["job"])


def _wait(chain: Chain, job: str, note: Callable[[str], None]) -> dict[str, Any]:
    """The record of an evaluation; jobs have deadlines, so that there always is one."""
    while True:
        found: dict[str, Any] | None = chain.view("evaluation.receipt", job=job)
        if found is not None:
            return found
        note("every validator runs the model on every row")
        time.sleep(_POLL_S)


def _document(job: str, record: dict[str, Any]) -> dict[str, Any]:
    agreed = [seat for seat in record["attestations"] if seat["conduct"] == "agreed"]
    shown: dict[str, Any] = {
        "evaluation": job,
        "dataset": record["dataset"],
        "attestations": len(agreed),
        "panel": len(record["attestations"]),
    }
    if record["result"] is None:
        return {**shown, "status": "no quorum", "record": record}
    result = decode_evaluation(bytes.fromhex(record["result"][2:]))
    if isinstance(result, Unusable):
        reason = f"row {result.row + 1}: {result.reason}"
        return {**shown, "status": "unusable", "reason": reason, "record": record}
    return {
        **shown,
        "status": "measured",
        "rows": result.rows,
        "correct": result.correct,
        "confusion": [
            {"label": cell.label, "predicted": cell.predicted, "count": cell.count}
            for cell in result.confusion
        ],
        "record": record,
    }


def _print(document: dict[str, Any]) -> None:
    shown = {key: value for key, value in document.items() if key not in ("record", "confusion", "panel")}
    shown["attestations"] = f"{document['attestations']} of {document['panel']} validators"
    if "correct" in document:
        rate = Fraction(document["correct"], document["rows"])
        shown["correct"] = f"{document['correct']} of {document['rows']} ({float(rate):.2%})"
    print_fields(shown)
    if document.get("confusion"):
        print_line("")
        rows = [tuple(cell.values()) for cell in document["confusion"]]
        print_table(("class", "taken for", "rows"), rows, "")
