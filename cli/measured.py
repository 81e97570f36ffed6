"""What validators measured: shown, proved to a light client, and measured again."""

from enum import StrEnum
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cli.datasets import dataset_of
from cli.errors import UserError
from cli.exact import prove_file
from cli.files import read_model
from cli.options import DEFAULT_BELIEFS, DEFAULT_RPC, BeliefDirectory, ChainOption, Json, Rpc, examples
from cli.output import print_fields, print_json, print_line, print_table
from inference.certificate import ExactnessCertificate
from inference.evaluation import (
    Classified,
    Matched,
    Metric,
    Regressed,
    Unusable,
    decode_evaluation,
    encode_evaluation,
    evaluate,
    measured,
)
from node.blobs.messages import blob_id, manifest_of

VERIFY: Final = examples(
    "consil model verify 0xEVALUATION --chain chain.json          the record, by its proof",
    "consil model verify 0xEVALUATION --chain chain.json --file exact.onnx --samples test.csv",
)
_TABLES: Final = ("confusion", "classes")


class MetricName(StrEnum):
    """`inference.evaluation.Metric`, as it is written."""

    CLASSIFICATION = "classification"
    REGRESSION = "regression"
    MASKS = "masks"
    SEQUENCES = "sequences"


def verify(
    evaluation: Annotated[
        str, typer.Argument(metavar="EVALUATION", help="As `consil model evaluate` prints it.")
    ],
    file: Annotated[Path | None, typer.Option(help="The model: also measure it here.")] = None,
    samples: Annotated[
        Path | None, typer.Option("--samples", metavar="PATH", help="The samples, with --file.")
    ] = None,
    card: Annotated[Path | None, typer.Option(metavar="JSON", help="How samples become inputs.")] = None,
    chain: ChainOption = "local",
    directory: BeliefDirectory = DEFAULT_BELIEFS,
    rpc: Rpc = DEFAULT_RPC,
    as_json: Json = False,
) -> None:
    """Check an evaluation as a light client does, believing no node; with --file, also measure again.

    Exit code 1 if the proof is wrong, or the result, the model or the samples are others.
    """
    if (file is None) != (samples is None):
        raise typer.BadParameter("give both or none", param_hint="--file, --samples")
    from cli.proved_record import verify_record

    proved = verify_record(chain, directory, rpc, "evaluation.records", evaluation)
    document = evaluation_document(proved.certificate, evaluation, proved.record) | {
        "verified": True,
        "finalBlock": proved.height,
        "proofBytes": proved.proof_bytes,
    }
    if file is not None and samples is not None:
        _measure_again(proved.record, file, samples, card)
        document["measuredAgain"] = True
    show(document, as_json)


def evaluation_document(
    certificate: ExactnessCertificate, job: str, record: dict[str, Any]
) -> dict[str, Any]:
    """The record of an evaluation, and what its integers come to."""
    agreed = [seat for seat in record["attestations"] if seat["conduct"] == "agreed"]
    shown: dict[str, Any] = {
        "evaluation": job,
        "metric": record["metric"],
        "dataset": record["dataset"],
        "attestations": len(agreed),
        "panel": len(record["attestations"]),
        "record": record,
    }
    if record["result"] is None:
        return {**shown, "status": "no quorum"}
    result = decode_evaluation(bytes.fromhex(record["result"][2:]))
    if isinstance(result, Unusable):
        return {**shown, "status": "unusable", "reason": f"row {result.row + 1}: {result.reason}"}
    return {**shown, "status": "measured", **_said(certificate, result)}


def show(document: dict[str, Any], as_json: bool) -> None:
    """Print it. Raises UserError if nothing was measured."""
    if as_json:
        print_json(document)
    else:
        _print(document)
    if document["status"] != "measured":
        raise UserError(
            f"there is no result: {document.get('reason', 'no quorum')}", "see who abstained, or the samples"
        )


def _said(certificate: ExactnessCertificate, result: Classified | Regressed | Matched) -> dict[str, Any]:
    whole: dict[str, Any] = {"rows": result.rows, "correct": result.correct}
    match result:
        case Classified():
            cells = [
                {"label": one.label, "predicted": one.predicted, "count": one.count}
                for one in result.confusion
            ]
            return {**whole, "confusion": cells}
        case Regressed():
            return {**whole, "elements": result.elements, **_errors(certificate, result)}
        case Matched():
            classes = [
                {"label": one.label, "intersection": one.intersection, "union": one.union}
                for one in result.classes
            ]
            overlaps = [Fraction(one.intersection, one.union) for one in result.classes]
            mean = sum(overlaps, Fraction(0)) / max(len(overlaps), 1)
            places = {"places": result.places, "correctPlaces": result.correct_places}
            return {**whole, **places, "meanOverlap": float(mean), "classes": classes}


def _errors(certificate: ExactnessCertificate, result: Regressed) -> dict[str, Any]:
    """Sums in the integers of the output; what they come to, as numbers."""
    absolute, squared, spread = (
        int.from_bytes(each, "big") for each in (result.absolute_error, result.squared_error, result.spread)
    )
    said: dict[str, Any] = {"absoluteError": absolute, "squaredError": squared, "spread": spread}
    if spread:
        ratio = 1 - Fraction(result.elements * squared, spread)
        said |= {"rSquared": float(ratio), "rSquaredExact": str(ratio)}
    scales = measured(certificate).scales
    if len(scales) == 1:
        scale = Fraction(scales[0].numerator, scales[0].denominator)
        said["meanAbsoluteError"] = float(absolute * scale / result.elements)
        said["meanSquaredError"] = float(squared * scale * scale / result.elements)
    return said


def _measure_again(record: dict[str, Any], file: Path, samples: Path, card: Path | None) -> None:
    """Raises UserError if the record is of another model, of other samples, or has another result."""
    from inference.engines.onnx_runtime import OnnxRuntimeEngine

    proof = prove_file(read_model(file), file)
    if record["exact_hash"] != f"0x{proof.certificate.model_hash.hex()}":
        raise UserError("the record is of another model", "check --file")
    metric = Metric[record["metric"].upper()]
    rows, data = dataset_of(proof.certificate, metric, samples, card)
    if record["blob"] != f"0x{blob_id(manifest_of(data)).hex()}":
        raise UserError("the record is of other samples", "check --samples and --card")
    found = evaluate(proof.certificate, metric, rows, OnnxRuntimeEngine().load(proof.canonical).run)
    if record["result"] != f"0x{encode_evaluation(found).hex()}":
        raise UserError("the record has another result", "challenge it with `consil infer challenge`")


def _print(document: dict[str, Any]) -> None:
    shown = {key: value for key, value in document.items() if key not in ("record", "panel", *_TABLES)}
    shown["attestations"] = f"{document['attestations']} of {document['panel']} validators"
    for part, whole in (("correct", "rows"), ("correctPlaces", "places")):
        if document.get(whole):
            share = document[part] / document[whole]
            shown[part] = f"{document[part]} of {document[whole]} ({share:.2%})"
    print_fields(shown)
    for name in _TABLES:
        if document.get(name):
            print_line("")
            header = ("class", "taken for", "rows") if name == "confusion" else ("class", "both", "either")
            print_table(header, [tuple(cell.values()) for cell in document[name]], "")
