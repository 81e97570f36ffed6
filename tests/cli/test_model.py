"""`consil model` and `consil infer`, on the trained example and on the real runtime."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.prover import prove
from inference.refusal import Refusal as Unprovable
from tests.cli.conftest import Consil
from tests.cli.fake_chain import FakeChain
from tests.cli.fake_rpc import serving
from tests.cli.proving_node import ProvingNode, forge_value
from tests.inference.build import floats, one_node

Document = Callable[..., Any]
Refusal = Callable[..., str]

EXAMPLE = Path(__file__).parents[2] / "examples" / "diagnosis"
HELD_OUT = EXAMPLE / "held_out.csv"


@pytest.fixture(scope="session")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example in exact form, made by the command."""
    from typer.testing import CliRunner

    from cli.main import app

    output = tmp_path_factory.mktemp("model") / "exact.onnx"
    made = CliRunner().invoke(app, ["model", "convert", *map(str, conversion(output))])
    assert made.exit_code == 0, made.output
    return output


@pytest.fixture
def node() -> Iterator[FakeChain]:
    fake = FakeChain()
    with serving(fake):
        yield fake


def conversion(output: Path) -> list[object]:
    samples = ["--samples", EXAMPLE / "train.csv", "--held-out", HELD_OUT]
    return [EXAMPLE / "model.onnx", *samples, "--out", output]


def test_the_trained_example_is_converted_with_full_agreement(document: Document, tmp_path: Path) -> None:
    made = document("model", "convert", *conversion(tmp_path / "exact.onnx"))
    assert made["agreement"] == {"matched": 171, "total": 171}
    proof = prove((tmp_path / "exact.onnx").read_bytes())
    assert made["hash"] == f"0x{proof.certificate.model_hash.hex()}"
    assert document("model", "prove", tmp_path / "exact.onnx")["gas"] == made["gas"]


def test_it_runs_on_a_row_and_on_json_alike(document: Document, exact: Path) -> None:
    by_row = document("model", "run", exact, "--samples", HELD_OUT, "--row", 3)
    cells = HELD_OUT.read_text().splitlines()[3].split(",")[:-1]
    assert document("model", "run", exact, "--input", f"[{','.join(cells)}]") == by_row
    assert document("model", "run", exact, "--input", f'{{"X": [[{",".join(cells)}]]}}') == by_row
    assert by_row["class"] == 0


def test_a_value_outside_the_range_is_told(consil: Consil, exact: Path) -> None:
    result = consil("model", "run", exact, "--input", json.dumps([1e9, *[0] * 29]))
    assert result.exit_code == 0
    assert "outside the model's range, taken as its nearest end: X[0]" in result.stderr


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("[1, 2", "the input is not JSON"),
        ("[" * 100_000, "the input is not JSON"),
        ("[1, 2]", "X takes 30 numbers, not 2; the model takes X of shape [1, 30]"),
        ("[" + "0," * 30 + "0]", "X takes 30 numbers, not 31"),
        ('{"other": [1]}', "the model takes the inputs X, not other"),
        ("{}", "the model takes the inputs X, not none"),
        ("5,3", "the input is not JSON such as [0.5, 7]"),
        ('["x"]', "is not a decimal number"),
        ("[NaN]", "is not a decimal number"),
        ("[true]", "true is no number"),
        ("7", "neither a list nor an object"),
        ("@/no/such/file", "cannot read /no/such/file"),
    ],
)
def test_a_wrong_input_names_what_is_wrong(refusal: Refusal, exact: Path, given: str, reason: str) -> None:
    assert reason in refusal("model", "run", exact, "--input", given)


def test_an_oversized_input_is_refused(refusal: Refusal, exact: Path, tmp_path: Path) -> None:
    (tmp_path / "huge").write_bytes(b" " * (1024 * 1024 + 1))
    assert "more than 1048576 bytes" in refusal("model", "run", exact, "--input", f"@{tmp_path / 'huge'}")


def test_rows_and_files_that_are_not_there_are_refused(refusal: Refusal, exact: Path) -> None:
    assert "has 171 samples, not 172" in refusal("model", "run", exact, "--samples", HELD_OUT, "--row", 172)
    assert "cannot read" in refusal("model", "run", exact, "--samples", "/no/such/file")
    assert "no set of samples" in refusal("model", "run", exact, "--samples", "/dev/null")


def test_one_source_of_input_is_needed(refusal: Refusal, exact: Path) -> None:
    refusal("model", "run", exact, code=2)
    refusal("model", "run", exact, "--input", "[]", "--samples", HELD_OUT, code=2)


def test_a_float_model_is_no_exact_model(refusal: Refusal) -> None:
    for command in (["prove"], ["run", "--input", "[]"]):
        assert "is not exact" in refusal("model", command[0], EXAMPLE / "model.onnx", *command[1:])


@pytest.mark.parametrize("command", [["prove"], ["inspect"], ["run", "--input", "[]"]])
def test_a_model_that_is_cut_short_is_no_model_and_not_to_be_converted(
    refusal: Refusal, exact: Path, tmp_path: Path, command: list[str]
) -> None:
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(exact.read_bytes()[:-50])
    line = refusal("model", command[0], cut, *command[1:])
    assert line.startswith(f"error: {cut} is no ONNX model: the file is cut short inside")
    assert "convert" not in line


def test_a_card_about_an_input_that_the_model_lacks_is_refused(
    refusal: Refusal, exact: Path, tmp_path: Path
) -> None:
    card = tmp_path / "other.card.json"
    card.write_text('{"inputs": {"image": {"kind": "image"}}}')
    np.savez(tmp_path / "s.npz", np.ones((10, 30)))
    made = ["convert", EXAMPLE / "model.onnx", "--out", tmp_path / "made.onnx"]
    for command in (made, ["run", exact], ["compare", EXAMPLE / "model.onnx", exact]):
        line = refusal("model", *command, "--samples", tmp_path / "s.npz", "--card", card)
        assert "the card describes the input 'image', and the model takes X;" in line
    assert not (tmp_path / "made.onnx").exists()


def test_what_is_no_model_is_refused(refusal: Refusal, tmp_path: Path) -> None:
    assert "/dev/null is no ONNX model: it holds no graph" in refusal("model", "prove", "/dev/null")
    assert "cannot read" in refusal("model", "prove", "/no/such/file")
    arguments = conversion(tmp_path / "exact.onnx")
    assert "is no ONNX model" in refusal("model", "convert", HELD_OUT, *arguments[1:])
    assert not (tmp_path / "exact.onnx").exists()


def register(node: FakeChain, exact: Path) -> list[object]:
    options = ["--name", "diagnosis", "--price", "0.5", "--from", "//Alice", "--rpc", node.url]
    return ["model", "register", exact, *options]


def test_a_model_is_registered_and_proven_by_validators(
    node: FakeChain, document: Document, consil: Consil, exact: Path
) -> None:
    assert "no models" in consil("model", "list", "--rpc", node.url).stdout
    made = document(*register(node, exact), "--wait")
    assert (made["state"], made["name"]) == ("proven", "diagnosis")
    assert [seat["conduct"] for seat in made["attestations"]] == ["agreed"]
    assert made["exact_hash"] == document("model", "prove", exact)["hash"]
    [listed] = document("model", "list", "--rpc", node.url)
    assert listed["id"] == made["id"]
    shown = document("model", "show", made["id"], "--rpc", node.url)
    proved = document("model", "prove", exact)
    assert (shown["state"], shown["certificate"]) == ("proven", proved)
    assert proved["inputs"][0] in consil("model", "show", made["id"], "--rpc", node.url).stdout
    assert "0.5 CNS" in consil("model", "show", made["id"], "--rpc", node.url).stdout


def test_a_model_that_validators_refuse_is_exit_code_1(node: FakeChain, consil: Consil, exact: Path) -> None:
    node.verdict = lambda data: Unprovable(node="node 3", reason="it may overflow")
    result = consil(*register(node, exact), "--wait")
    assert result.exit_code == 1
    assert "the model is refused: node 3: it may overflow" in result.stderr


def test_a_model_that_cannot_be_proved_is_refused_before_it_is_sent(
    node: FakeChain, refusal: Refusal
) -> None:
    assert "is not exact" in refusal(*register(node, EXAMPLE / "model.onnx"))
    assert node.blobs == {}


def test_a_full_blob_store_is_one_line(node: FakeChain, consil: Consil, exact: Path) -> None:
    full = super(FakeChain, node).store
    node.store = full  # type: ignore[method-assign]
    result = consil(*register(node, exact))
    assert result.exit_code == 1
    assert "the blob store is full" in result.stderr.splitlines()[-1]


def test_a_model_registered_twice_is_refused(
    node: FakeChain, document: Document, consil: Consil, exact: Path
) -> None:
    document(*register(node, exact))
    result = consil(*register(node, exact))
    assert result.exit_code == 1
    assert "models.AlreadyRegistered" in result.stderr


def test_an_unknown_model_is_one_line(node: FakeChain, refusal: Refusal) -> None:
    unknown = f"0x{'00' * 32}"
    assert f"no model {unknown}" in refusal("model", "show", unknown, "--rpc", node.url)
    run = ("infer", "request", unknown, "--input", "[]", "--from", "//Alice", "--rpc", node.url)
    assert "does not exist or is not proven" in refusal(*run)


@pytest.fixture
def model(node: FakeChain, document: Document, exact: Path) -> str:
    """The identity of the example, proven on the chain."""
    return str(document(*register(node, exact), "--wait")["id"])


def ask(node: FakeChain, model: str) -> list[object]:
    options = ["--samples", HELD_OUT, "--row", 3, "--from", "//Bob", "--rpc", node.url]
    return ["infer", "request", model, *options]


def test_a_diagnosis_is_attested_and_the_same_as_here(
    node: FakeChain, model: str, document: Document, consil: Consil, exact: Path
) -> None:
    answer = document(*ask(node, model), "--wait")
    here = document("model", "run", exact, "--samples", HELD_OUT, "--row", 3)
    assert (answer["class"], answer["values"]) == (here["class"], here["values"])
    assert (answer["attestations"], answer["panel"], answer["status"]) == (1, 1, "answered")
    found = document("infer", "show", answer["request"], "--rpc", node.url)
    assert "can be challenged" in found.pop("dispute")
    assert found == answer
    assert document("query", "receipt", answer["request"], "--rpc", node.url) == answer["record"]
    assert "agreed" in consil("query", "receipt", answer["request"], "--rpc", node.url).stdout
    shown = consil("infer", "watch", answer["request"], "--rpc", node.url).stdout
    assert "1 of 1 validators" in shown
    assert "agreed" in shown


def test_the_requester_is_told_first_that_inputs_are_public(
    node: FakeChain, model: str, consil: Consil
) -> None:
    result = consil(*ask(node, model))
    assert result.exit_code == 0
    assert (
        result.stderr.splitlines()[0]
        == "warning: inputs are public: everybody can read what is sent, for ever"
    )


def test_a_request_can_be_sent_now_and_watched_later(node: FakeChain, model: str, document: Document) -> None:
    sent = document(*ask(node, model))
    assert sent["status"] == "open"
    assert document("infer", "show", sent["request"], "--rpc", node.url)["status"] == "open"
    assert document("infer", "watch", sent["request"], "--rpc", node.url)["status"] == "answered"


def test_more_than_the_most_to_pay_is_refused_before_it_is_paid(
    node: FakeChain, model: str, refusal: Refusal
) -> None:
    assert "more than --max-fee" in refusal(*ask(node, model), "--max-fee", "0.1")
    assert "'much' is not an amount" in refusal(*ask(node, model), "--max-fee", "much")


def test_no_agreement_is_a_failure(node: FakeChain, model: str, consil: Consil) -> None:
    node.abstains = True
    asked = consil(*ask(node, model), "--wait")
    assert asked.exit_code == 1
    assert "no quorum" in asked.stdout
    assert "did not agree" in asked.stderr.splitlines()[-1]


def test_an_input_of_wrong_shape_is_refused_before_it_is_paid_for(
    node: FakeChain, model: str, refusal: Refusal
) -> None:
    run = ("infer", "request", model, "--input", "[1, 2]", "--from", "//Bob", "--rpc", node.url)
    assert "X takes 30 numbers, not 2" in refusal(*run)


def test_an_unknown_request_is_one_line(node: FakeChain, refusal: Refusal) -> None:
    unknown = f"0x{'00' * 32}"
    for command in ("show", "watch"):
        assert f"no request {unknown}" in refusal("infer", command, unknown, "--rpc", node.url)
    assert f"no record of a request {unknown}" in refusal("query", "receipt", unknown, "--rpc", node.url)


@pytest.fixture
def proving(consil: Consil, node: FakeChain, tmp_path: Path) -> Iterator[ProvingNode]:
    """A node that proves the state of `node` to light clients of a chain of its own."""
    spec = tmp_path / "chain.json"
    consil("chainspec", "build", spec, "--id", "mine", "--validator", "//Alice")
    consil("light", "init", "--chain", spec, "--dir", tmp_path)
    made = ProvingNode(spec)
    with serving(made):
        yield made


def test_a_certificate_is_believed_by_its_proof(
    node: FakeChain,
    model: str,
    proving: ProvingNode,
    document: Document,
    consil: Consil,
    refusal: Refusal,
    exact: Path,
    tmp_path: Path,
) -> None:
    proving.show(dict(node.chain.state.iterate(b"")))
    common = ("--chain", tmp_path / "chain.json", "--dir", tmp_path, "--rpc", proving.url)
    believed = document("light", "model", model, *common)
    assert (believed["certificate"], believed["height"]) == (document("model", "prove", exact), 1)
    assert "proved in final block 1" in consil("light", "model", model, *common).stdout
    assert "proved that models.models has no" in refusal("light", "model", f"0x{'00' * 32}", *common)
    proving.lie = forge_value
    assert "wrong proof" in refusal("light", "model", model, *common)


def test_a_record_is_believed_by_its_proof_and_computed_again(
    node: FakeChain,
    model: str,
    proving: ProvingNode,
    document: Document,
    refusal: Refusal,
    exact: Path,
    tmp_path: Path,
) -> None:
    answer = document(*ask(node, model), "--wait")
    proving.show(dict(node.chain.state.iterate(b"")))
    common = ("--chain", tmp_path / "chain.json", "--dir", tmp_path, "--rpc", proving.url)
    run = ("infer", "verify", answer["request"], *common)
    verified = document(*run)
    assert verified["record"] == answer["record"]
    assert (verified["verified"], verified["class"]) == (True, answer["class"])
    again = (*run, "--file", exact, "--samples", HELD_OUT)
    assert document(*again, "--row", 3)["recomputed"] is True
    assert "the record has another input hash" in refusal(*again, "--row", 4)
    unknown = f"0x{'00' * 32}"
    assert f"has no {unknown}" in refusal("infer", "verify", unknown, *common)
    assert "is no identity" in refusal("infer", "verify", "7", *common)
    proving.lie = forge_value
    assert "wrong proof" in refusal(*run)


def test_inspection_shows_where_bits_and_gas_go(document: Document, consil: Consil, exact: Path) -> None:
    shown = document("model", "inspect", exact)
    assert [node["operator"] for node in shown["graph"]][:5] == ["Clip", "Cast", "Gemm", "Clip", "Round"]
    assert sum(node["macs"] for node in shown["graph"]) == shown["macs"]
    assert all(node["bits"] <= 24 for node in shown["graph"])
    rounding = shown["graph"][4]
    assert rounding["droppedBits"] > 0
    assert rounding["step"] == 0
    assert "rounds off" in consil("model", "inspect", exact).stdout


def test_inspection_shows_numbers_that_were_rounded(
    document: Document, consil: Consil, tmp_path: Path
) -> None:
    model = tmp_path / "third.onnx"
    model.write_bytes(one_node("Mul", floats((), (1 / 3,))))
    product = document("model", "inspect", model)["graph"][1]
    assert (product["operator"], product["bits"], product["step"]) == ("Mul", None, None)
    assert -42.67 < product["low"] < -42.66
    assert "rounded" in consil("model", "inspect", model).stdout


def test_inspection_of_a_float_model_is_refused_with_what_to_do(refusal: Refusal) -> None:
    assert "consil model convert" in refusal("model", "inspect", EXAMPLE / "model.onnx")


def test_classes_are_called_as_the_card_says(document: Document, exact: Path, tmp_path: Path) -> None:
    card = tmp_path / "card.json"
    card.write_text('{"labels": ["malignant", "benign"]}')
    shown = document("model", "run", exact, "--samples", HELD_OUT, "--row", 3, "--card", card)
    assert (shown["class"], shown["label"]) == (0, "malignant")


def test_a_text_that_is_cut_off_is_told(
    consil: Consil, refusal: Refusal, exact: Path, tmp_path: Path
) -> None:
    card = tmp_path / "text.card.json"
    card.write_text('{"inputs": {"X": {"kind": "text", "split": "bytes"}}}')
    (tmp_path / "s.csv").write_text(f"text\n{'b' * 31}\nc\n")
    run = ("model", "run", exact, "--card", card)
    told = consil(*run, "--text", "a" * 40)
    assert told.exit_code == 0
    assert "the text is longer than the model takes: 10 tokens at its end are left out" in told.stderr
    told = consil(*run, "--samples", tmp_path / "s.csv")
    assert "1 of 2 texts are longer than the model takes" in told.stderr
    assert consil(*run, "--text", "👩\u200d👦 ok").exit_code == 0
    assert "error: the text is empty; give at least a word" in refusal(*run, "--text", "")
    assert "error: the text is not UTF-8" in refusal(*run, "--text", "\udcff")


def test_pictures_and_text_need_a_card(refusal: Refusal, exact: Path, tmp_path: Path) -> None:
    assert '"kind": "text"' in refusal("model", "run", exact, "--text", "hello")
    (tmp_path / "a.png").write_bytes(b"")
    assert '"kind": "image"' in refusal("model", "run", exact, "--image", tmp_path / "a.png")


def test_a_float_and_an_exact_model_are_compared_on_every_engine(
    document: Document, consil: Consil, exact: Path
) -> None:
    shown = document("model", "compare", EXAMPLE / "model.onnx", exact, "--samples", HELD_OUT)
    assert shown["samples"] == 171
    float_figures, *engines = shown["engines"]
    assert float_figures["right"] == 167
    assert [engine["name"] for engine in engines] == ["float32", "int8", "numpy"]
    assert {engine["identical"] for engine in engines} == {171}
    assert {engine["matched"] for engine in engines} == {171}
    table = consil("model", "compare", EXAMPLE / "model.onnx", exact, "--samples", HELD_OUT).stdout
    assert "171 of 171" in table


def test_what_was_not_made_of_a_model_is_not_compared_with_it(refusal: Refusal, exact: Path) -> None:
    assert "is not exact" in refusal("model", "compare", exact, EXAMPLE / "model.onnx", "--samples", HELD_OUT)


def test_options_that_make_no_sense_are_refused(refusal: Refusal, tmp_path: Path) -> None:
    for option in (
        ["--shape", "x"],
        ["--constant", "x=y"],
        ["--target-agreement", "2"],
        ["--weight-bits", 99],
    ):
        refusal("model", "convert", *conversion(tmp_path / "e.onnx"), *option, code=2)


def test_a_fifth_of_the_samples_is_kept_apart_to_measure_on(document: Document, tmp_path: Path) -> None:
    arguments = ["--samples", EXAMPLE / "train.csv", "--out", tmp_path / "e.onnx"]
    made = document("model", "convert", EXAMPLE / "model.onnx", *arguments, "--target-agreement", "0.95")
    assert made["agreement"]["total"] == 79


def test_an_agreement_that_nothing_reaches_is_an_error_that_tells_the_best(
    refusal: Refusal, tmp_path: Path
) -> None:
    noise = tmp_path / "noise.csv"
    lines = (EXAMPLE / "train.csv").read_text().splitlines()
    noise.write_text("\n".join(lines[:3]))
    arguments = ["--samples", noise, "--held-out", HELD_OUT, "--out", tmp_path / "e.onnx"]
    told = refusal("model", "convert", EXAMPLE / "model.onnx", *arguments, "--target-agreement", "1")
    assert "the best of the settings agrees on" in told
