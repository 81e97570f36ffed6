"""`consil model` without a chain: convert a float model, prove, inspect, run and compare."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cli.errors import UserError
from cli.exact import certificate_document, certificate_fields, outputs_document, print_outputs, prove_file
from cli.inputs import (
    CardOption,
    ImageOption,
    InputOption,
    RowOption,
    SamplesOption,
    TextOption,
    find_card,
    read_bytes,
    read_input,
    tell_limited,
)
from cli.options import Json, command_group, examples
from cli.output import print_fields, print_json, print_line, print_table
from inference.graph import MODEL_BYTES_MAX
from inference.operators.rule import Value
from inference.prover import Finding, examine
from inference.refusal import Refused

app = command_group()

File = Annotated[Path, typer.Argument(help="An ONNX file.")]

_LOSSY: Final = frozenset({"Ceil", "Floor", "Round"})


@app.command(epilog=examples("consil model prove exact.onnx", "consil model prove exact.onnx --json"))
def prove(file: File, as_json: Json = False) -> None:
    """Prove that a model gives the same bits everywhere, as validators do, or say which node forbids it."""
    document = certificate_document(prove_file(read_bytes(file, MODEL_BYTES_MAX), file).certificate)
    if as_json:
        print_json(document)
    else:
        print_fields(certificate_fields(document))


@app.command(epilog=examples("consil model inspect exact.onnx", "consil model inspect exact.onnx --json"))
def inspect(file: File, as_json: Json = False) -> None:
    """Show an exact model node by node: how large its numbers get, where they are rounded, what it costs.

    'bits' is what the largest number takes of the 24 that float32 holds exactly (53 in float64), sign aside;
    'unit' the power of two that all numbers are multiples of, 'rounds off' how many bits a rounding drops.
    """
    try:
        proof, findings = examine(read_bytes(file, MODEL_BYTES_MAX))
    except Refused as error:
        raise UserError(
            f"{file} is not exact: {error}", "make an exact model with `consil model convert`"
        ) from None
    nodes = [_node(finding) for finding in findings]
    document = {**certificate_document(proof.certificate), "graph": nodes}
    if as_json:
        print_json(document)
        return
    total = proof.certificate.gas
    columns = ("#", "operator", "result", "shape", "bits", "unit", "rounds off", "MACs", "gas")
    rows = [
        (
            index,
            node["operator"],
            node["type"],
            "x".join(str(size) for size in node["shape"]) or "-",
            "" if node["bits"] is None else node["bits"],
            "rounded" if node["step"] is None else f"2^{node['step']}" if node["step"] else "1",
            node["droppedBits"] or "",
            node["macs"] or "",
            f"{node['gas'] / total:.1%}",
        )
        for index, node in enumerate(nodes)
    ]
    print_table(columns, rows, "no nodes")
    print_line("")
    print_fields(certificate_fields({name: document[name] for name in document if name != "graph"}))


@app.command(
    epilog=examples(
        "consil model run exact.onnx --samples test.csv --row 3",
        "consil model run exact.onnx --input '[0.5, 1.25, 7]'",
        "consil model run exact.onnx --image photo.jpg --card exact.card.json",
        "consil model run exact.onnx --text 'how much?'",
    )
)
def run(
    file: File,
    input_: InputOption = None,
    samples: SamplesOption = None,
    row: RowOption = 1,
    image: ImageOption = None,
    text: TextOption = None,
    card: CardOption = None,
    as_json: Json = False,
) -> None:
    """Run an exact model on this machine. The answer has the bits that any validator would give."""
    from inference.engines.interface import EngineError
    from inference.engines.onnx_runtime import OnnxRuntimeEngine

    proof = prove_file(read_bytes(file, MODEL_BYTES_MAX), file)
    known = find_card(card, file)
    encoded = read_input(proof.certificate, input_, samples, row, image=image, words=text, card=known)
    try:
        tensors = OnnxRuntimeEngine().load(proof.canonical).run(encoded.tensors)
    except EngineError as error:
        raise UserError(f"this machine cannot run {file}: {error}", "try another machine") from None
    certificate = proof.certificate
    document = outputs_document(certificate, [tensors[index] for index in certificate.attested], known)
    tell_limited(encoded.limited)
    if as_json:
        print_json(document | {"limited": list(encoded.limited)})
    else:
        print_outputs(document)


def _node(finding: Finding) -> dict[str, Any]:
    """What is shown of a node; of several outputs, the first."""
    value, node = finding.values[0], finding.node
    entering = min((cell.step for cell in finding.entering.bounds.cells), default=0)
    return {
        "operator": node.operator,
        "outputs": list(node.outputs),
        "type": value.dtype,
        "shape": list(value.shape),
        **_numbers(value),
        "droppedBits": max(0, -entering) if node.operator in _LOSSY else 0,
        "macs": finding.macs,
        "elements": finding.elements,
        "gas": finding.gas,
    }


def _numbers(value: Value) -> dict[str, Any]:
    """How large and how fine a tensor's numbers are. Those that were rounded fill the mantissa: no unit."""
    if value.loose is not None:
        low, high = float(value.loose.low), float(value.loose.high)
        return {"bits": None, "step": None, "low": low, "high": high}
    cell = value.bounds.whole()
    return {
        "bits": max(each.magnitude for each in value.bounds.cells).bit_length(),
        "step": cell.step,
        "low": cell.low * 2.0**cell.step,
        "high": cell.high * 2.0**cell.step,
    }
