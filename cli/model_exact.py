"""`consil model` without a chain: convert a float model, prove, inspect, run and compare."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cli.errors import UserError
from cli.exact import certificate_document, certificate_fields, outputs_document, print_outputs, prove_file
from cli.files import ensure_another, ensure_writable, read_model, write_whole
from cli.floats import ConstantOption, ShapeOption, taken_by, understand_file
from cli.inputs import (
    CardOption,
    ImageOption,
    InputOption,
    RowOption,
    SamplesOption,
    TextOption,
    columns_kept,
    find_card,
    read_input,
    read_samples,
    tell_limited,
)
from cli.options import Json, command_group, examples
from cli.output import print_fields, print_json, print_line, print_table, progress, warn
from inference.converter.options import WEIGHT_BITS, Method, Options
from inference.encoding import EncodingError, parse_real
from inference.operators.rule import Value
from inference.prover import Finding, examine
from inference.refusal import Refused

if TYPE_CHECKING:
    from inference.comparison import EngineFigures
    from inference.converter.report import Conversion
    from inference.preparation.card import Card
    from inference.preparation.sets import SampleSet

app = command_group()

File = Annotated[Path, typer.Argument(help="An ONNX file.")]

_COMPARED: Final = ("engine", "us", "of float", "same bits", "agrees", "right", "")
Int8 = Annotated[
    bool,
    typer.Option("--int8", help="Bytes throughout, which engines run faster: best for large image models."),
]
Calibration = Annotated[
    Method | None,
    typer.Option(
        "--calibration",
        help="How samples decide which range of numbers is covered; minmax, or with --int8 the best of all.",
        show_default=False,
    ),
]
WeightBits = Annotated[
    int | None,
    typer.Option(
        min=WEIGHT_BITS[0], max=WEIGHT_BITS[-1], help="Bits of weights; else the best for each layer."
    ),
]

_LOSSY: Final = frozenset({"Ceil", "Floor", "Round"})


@app.command(
    epilog=examples(
        "consil model convert model.onnx --samples train.csv --held-out test.csv --out exact.onnx",
        "consil model convert resnet.onnx --samples photos/ --card resnet.card.json --out exact.onnx",
        "consil model convert bert.onnx --samples s.npz --shape ids=1x64 --constant mask=1 --out exact.onnx",
        "consil model convert resnet.onnx --samples photos/ --int8 --out exact.onnx",
        "consil model convert model.onnx --samples s.npz --target-agreement 0.99 --out exact.onnx",
    )
)
def convert(
    file: File,
    samples: Annotated[
        Path, typer.Option(metavar="PATH", help="Samples that show which values occur: .npz, .csv, a folder.")
    ],
    out: Annotated[Path, typer.Option(metavar="FILE", help="Where to write the exact model.")],
    held_out: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="Samples to compare both models on; else every fifth of --samples."
        ),
    ] = None,
    card: CardOption = None,
    shape: ShapeOption = None,
    constant: ConstantOption = None,
    int8: Int8 = False,
    method: Calibration = None,
    weight_bits: WeightBits = None,
    target_agreement: Annotated[
        str | None,
        typer.Option(metavar="SHARE", help="Try settings until so many held-out samples agree, as 0.99."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Make an exact model of a float model, and measure how far both agree.

    Takes what scikit-learn, PyTorch, TensorFlow and Paddle export. A .npz has an array for each input,
    samples along the first dimension; a .csv names its columns in the first line; a folder has pictures or
    texts, perhaps in a folder for each class. 'label' or 'labels' is no input. The same arguments give the
    same bytes.
    """
    from inference.converter.exact import make_exact
    from inference.engines.interface import EngineError
    from inference.engines.onnx_runtime import OnnxRuntimeEngine
    from inference.preparation.card import card_path, write_card
    from inference.preparation.sets import kept_apart

    ensure_another(file, out)
    ensure_writable(card_path(out))
    known = find_card(card, file)
    target = None if target_agreement is None else _share(target_agreement)
    try:
        with progress(f"converting {file}", silent=as_json) as report:
            report.note("folding and reading the float model")
            program = understand_file(file, shape, constant, samples)
            inputs = taken_by(program)
            known = columns_kept(known, samples, inputs)
            seen = read_samples(samples, inputs, known)
            if held_out is None:
                seen, unseen = kept_apart(seen)
                _ensure_some(unseen, samples)
            else:
                unseen = read_samples(held_out, inputs, known)
            options = Options(method=method, weight_bits=weight_bits, int8=int8, target_agreement=target)
            engine = OnnxRuntimeEngine()
            done = make_exact(program, seen.samples, unseen.samples, options, engine, report.step)
    except (Refused, EngineError) as error:
        raise _unconverted(file, error) from None
    write_whole(out, done.model)
    if known.inputs or known.labels:
        write_whole(card_path(out), write_card(known))
    elif card_path(out.expanduser()).exists():
        warn(f"{card_path(out)} was there before, and is no part of this: see that it fits, or delete it")
    document = _conversion_document(done, out, unseen.names)
    if as_json:
        print_json(document)
    else:
        _print_conversion(done, document)


@app.command(
    epilog=examples(
        "consil model compare model.onnx exact.onnx --samples test.csv",
        "consil model compare resnet.onnx exact.onnx --samples photos/ --json",
    )
)
def compare(
    file: Annotated[Path, typer.Argument(metavar="FLOAT", help="The float model.")],
    exact: Annotated[Path, typer.Argument(metavar="EXACT", help="What was made of it.")],
    samples: Annotated[Path, typer.Option(metavar="PATH", help="Samples: .npz, .csv or a folder.")],
    card: CardOption = None,
    shape: ShapeOption = None,
    constant: ConstantOption = None,
    as_json: Json = False,
) -> None:
    """Run a float model and its exact form side by side: answers, bits and time, on every engine here.

    Exit code 1 if two engines differ in one bit of the exact model's outputs.
    """
    from inference import comparison
    from inference.engines.int8 import TwinEngine
    from inference.engines.interface import EngineError, InferenceEngine
    from inference.engines.onnx_runtime import OnnxRuntimeEngine
    from inference.engines.reference import NumpyEngine

    known = find_card(card, exact)
    proof = prove_file(read_model(exact), exact)
    engines: dict[str, InferenceEngine] = {
        "float32": OnnxRuntimeEngine(),
        "int8": TwinEngine(),
        "numpy": NumpyEngine(),
    }
    try:
        with progress(f"comparing {file} and {exact}", silent=as_json) as report:
            program = understand_file(file, shape, constant, samples)
            found = read_samples(samples, taken_by(program), known)
            labels = _classes(found.labels, known)
            figures = comparison.compare(program, proof, found.samples, labels, engines, report.step)
    except (Refused, EngineError) as error:
        raise UserError(
            f"{file} and {exact} cannot be compared: {error}", "check which files they are"
        ) from None
    count = min(len(found.samples), comparison.SAMPLES_MAX)
    if as_json:
        print_json({"samples": count, "engines": [asdict(each) for each in figures]})
    else:
        print_table(_COMPARED, [_compared(each, figures[0], count) for each in figures], "no engines")
    different = [each.name for each in figures[1:] if not each.trouble and each.identical != count]
    if different:
        raise UserError(
            f"{', '.join(different)} and {figures[1].name} differ in bits",
            "an engine of this machine is broken",
        )


@app.command(epilog=examples("consil model prove exact.onnx", "consil model prove exact.onnx --json"))
def prove(file: File, as_json: Json = False) -> None:
    """Prove that a model gives the same bits everywhere, as validators do, or say which node forbids it."""
    document = certificate_document(prove_file(read_model(file), file).certificate)
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
        proof, findings = examine(read_model(file))
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

    proof = prove_file(read_model(file), file)
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


def _share(text: str) -> Fraction:
    try:
        share = parse_real(text)
    except EncodingError:
        share = Fraction(-1)
    if not 0 <= share <= 1:
        raise typer.BadParameter(f"{text!r} is not a share from 0 to 1", param_hint="--target-agreement")
    return share


def _classes(labels: Sequence[str], card: "Card") -> list[int]:
    """The class of each label: its place among the card's, or its number; none if one is neither."""
    places = {label: index for index, label in enumerate(card.labels)}
    found = [places.get(label, int(label) if label.isdecimal() else -1) for label in labels]
    return [] if -1 in found else found


def _conversion_document(done: "Conversion", out: Path, names: Sequence[str]) -> dict[str, Any]:
    report = done.report
    return {
        "file": str(out),
        **certificate_document(done.certificate),
        "calibration": report.method,
        "tried": [asdict(each) for each in report.tried],
        "agreement": {"matched": report.matched, "total": report.total},
        "differing": [names[index] for index in report.differing],
        "limitedSamples": report.limited_samples,
        "unprotected": report.unprotected,
        "scores": [asdict(each) for each in report.outputs],
        "layers": [asdict(each) for each in report.layers],
    }


def _print_conversion(done: "Conversion", document: Mapping[str, Any]) -> None:
    report = done.report
    agreement = f"{report.matched} of {report.total} held-out samples get the same answer"
    shown = {
        "file": document["file"],
        "hash": document["hash"],
        "gas": document["gas"],
        "agreement": agreement,
    }
    if report.tried:
        each = (f"{trial.method} {trial.matched}/{trial.total}" for trial in report.tried)
        shown["calibration"] = f"{report.method}, by answers on samples kept apart: {', '.join(each)}"
    if report.limited_samples:
        shown["limited"] = (
            f"{report.limited_samples} held-out samples have values that calibration did not see"
        )
    if report.unprotected:
        shown["unprotected"] = f"the float model was read without: {', '.join(report.unprotected)}"
    print_fields(shown)
    columns = ("layer", "kind", "bits", "weight bits", "relative error", "beyond range")
    rows = [
        (
            each.name,
            each.kind,
            each.bits,
            "" if each.weight_bits is None else each.weight_bits,
            f"{each.relative_error:.2%}",
            f"{each.limited:.2%}" if each.limited else "",
        )
        for each in report.layers
    ]
    print_line("")
    print_table(columns, rows, "no layers")


def _compared(figures: "EngineFigures", float_figures: "EngineFigures", count: int) -> tuple[str, ...]:
    if figures.trouble:
        return (figures.name, "", "", "", "", "", figures.trouble)
    is_float = figures is float_figures
    return (
        figures.name,
        f"{figures.latency_us:,.0f}",
        "" if is_float else f"{figures.latency_us / float_figures.latency_us:.2f}x",
        "" if is_float else f"{figures.identical} of {count}",
        "" if is_float else f"{figures.matched / max(figures.positions, 1):.2%}",
        "" if figures.right is None else f"{figures.right / count:.2%}",
        "" if is_float else f"error {figures.relative_error:.2%}",
    )


def _ensure_some(unseen: "SampleSet", samples: Path) -> None:
    if not unseen.samples:
        raise UserError(
            f"{samples} has too few samples to keep some apart", "give at least 5, or others with --held-out"
        )


def _unconverted(file: Path, error: Exception) -> UserError:
    """Why no exact model was made: the commonest mistake is to give one."""
    try:
        examine(read_model(file))
    except Refused:
        return UserError(f"{file} cannot be made exact: {error}", "docs/models-guide.md says what to change")
    return UserError(f"{file} is exact already", "convert the float model it was made of")


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
