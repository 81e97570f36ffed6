"""`consil model evaluate` on the trained example and the real runtime."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli.main import app
from inference.evaluation import Metric
from tests.cli.conftest import Consil
from tests.cli.fake_chain import FakeChain
from tests.cli.fake_rpc import serving
from tests.cli.proving_node import ProvingNode
from tests.cli.test_infer import model_of
from tests.cli.test_model import conversion

Document = Callable[..., Any]
Refusal = Callable[..., str]

EXAMPLE = Path(__file__).parents[2] / "examples" / "diagnosis"


@pytest.fixture
def chain() -> Iterator[FakeChain]:
    fake = FakeChain()
    with serving(fake):
        yield fake


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from typer.testing import CliRunner

    output = tmp_path_factory.mktemp("model") / "exact.onnx"
    made = CliRunner().invoke(app, ["model", "convert", *map(str, conversion(output))])
    assert made.exit_code == 0, made.output
    return output


@pytest.fixture
def model(chain: FakeChain, exact: Path, document: Document) -> str:
    options = ("--name", "diagnosis", "--from", "//Alice", "--rpc", chain.url, "--wait")
    return str(document("model", "register", exact, *options)["id"])


def command(chain: FakeChain, model: str, samples: Path) -> list[object]:
    options = ["--name", "held out", "--from", "//Bob", "--rpc", chain.url]
    return ["model", "evaluate", model, "--samples", samples, *options]


def test_a_model_is_measured_exactly(
    chain: FakeChain, model: str, exact: Path, document: Document, consil: Consil, tmp_path: Path
) -> None:
    lines = (EXAMPLE / "held_out.csv").read_text().splitlines()[:21]
    few = tmp_path / "few.csv"
    few.write_text("\n".join(lines) + "\n")
    measured = document(*command(chain, model, few))
    assert (measured["status"], measured["rows"], measured["attestations"]) == ("measured", 20, 1)
    here = [document("model", "run", exact, "--samples", few, "--row", row)["class"] for row in range(1, 21)]
    at = lines[0].split(",").index("label")
    labels = [int(line.split(",")[at]) for line in lines[1:]]
    assert measured["correct"] == sum(map(int.__eq__, here, labels))
    assert sum(cell["count"] for cell in measured["confusion"]) == 20
    assert "of 20 (" in consil(*command(chain, model, few)).stdout
    [dataset] = list(chain.chain.runtime._pallets(chain.chain.state).evaluation.datasets.items())
    assert dataset[1].rows == 20


def test_samples_without_labels_are_refused_before_anything_is_sent(
    chain: FakeChain, model: str, refusal: Refusal, tmp_path: Path
) -> None:
    lines = (EXAMPLE / "held_out.csv").read_text().splitlines()
    at = lines[0].split(",").index("label")
    bare = tmp_path / "bare.csv"
    bare.write_text(
        "\n".join(",".join(c for i, c in enumerate(line.split(",")) if i != at) for line in lines)
    )
    count = len(chain.blobs)
    assert "has no labels" in refusal(*command(chain, model, bare))
    assert len(chain.blobs) == count


def test_an_unknown_model_is_one_line(chain: FakeChain, refusal: Refusal) -> None:
    assert "is not proven" in refusal(*command(chain, f"0x{'00' * 32}", EXAMPLE / "held_out.csv"))


@pytest.fixture
def rectifier(chain: FakeChain, document: Document, tmp_path: Path) -> str:
    """A model that gives its four inputs, if they are above nought."""
    file = tmp_path / "relu.onnx"
    file.write_bytes(model_of(4))
    return str(
        document("model", "register", file, "--name", "r", "--from", "//Alice", "--rpc", chain.url, "--wait")[
            "id"
        ]
    )


SAMPLES = [[5, -7, 3, 0], [1, 2, 3, 9]]
MEASURES: list[tuple[Metric, list[Any], dict[str, Any]]] = [
    (
        Metric.REGRESSION,
        [[4, 0, 3, 2], [1, 2, 3, 9]],
        {"correct": 1, "elements": 8, "absoluteError": 3, "squaredError": 5, "spread": 8 * 124 - 24 * 24},
    ),
    (
        Metric.MASKS,
        [[True, True, True, False], [1, 1, -1, 1]],
        {
            "correct": 1,
            "places": 7,
            "correctPlaces": 6,
            "meanOverlap": 2 / 3,
            "classes": [
                {"label": 1, "intersection": 5, "union": 6},
                {"label": 0, "intersection": 1, "union": 2},
            ],
        },
    ),
    (Metric.SEQUENCES, [[0], [2]], {"correct": 1, "places": 2, "correctPlaces": 1}),
]


@pytest.mark.parametrize(("metric", "labels", "said"), MEASURES, ids=lambda each: getattr(each, "name", ""))
def test_other_things_are_measured_proved_and_measured_again(
    metric: Metric,
    labels: list[Any],
    said: dict[str, Any],
    chain: FakeChain,
    rectifier: str,
    document: Document,
    consil: Consil,
    refusal: Refusal,
    tmp_path: Path,
) -> None:
    samples = tmp_path / "samples.npz"
    np.savez(samples, x=np.array(SAMPLES, np.float32), labels=np.array(labels))
    named = ("--metric", metric.name.lower())
    measured = document(*command(chain, rectifier, samples), *named)
    assert measured == {**measured, **said, "rows": 2, "metric": metric.name.lower()}
    if metric is Metric.REGRESSION:
        assert measured["rSquaredExact"] == "47/52"
        assert (measured["meanAbsoluteError"], measured["meanSquaredError"]) == (3 / 8, 5 / 8)
    spec = tmp_path / "chain.json"
    consil("chainspec", "build", spec, "--id", "mine", "--validator", "//Alice")
    consil("light", "init", "--chain", spec, "--dir", tmp_path)
    node = ProvingNode(spec)
    node.show(dict(chain.chain.state.iterate(b"")))
    with serving(node):
        given = ["--chain", spec, "--dir", tmp_path, "--rpc", node.url]
        verify = ["model", "verify", measured["evaluation"], *given]
        again = [*verify, "--file", tmp_path / "relu.onnx", "--samples"]
        proved = document(*again, samples)
        assert proved == {**measured, **{key: proved[key] for key in ("finalBlock", "proofBytes")}} | {
            "verified": True,
            "measuredAgain": True,
        }
        np.savez(samples, x=np.array(SAMPLES, np.float32) + 1, labels=np.array(labels))
        assert "other samples" in refusal(*again, samples)
        other = tmp_path / "other.onnx"
        other.write_bytes(model_of(3))
        assert "another model" in refusal(*verify, "--file", other, "--samples", samples)
        assert "--file, --samples" in consil(*verify, "--file", other).output


@pytest.mark.parametrize(
    ("metric", "label", "said"),
    [
        ("regression", [1, 2], "2 right numbers, not 4"),
        ("masks", [0, 1, 2, 0], "2 is no class"),
        ("sequences", [4], "4 is no class"),
        ("regression", ["x", "y", "z", "w"], "is not a decimal number"),
    ],
)
def test_labels_that_do_not_fit_are_told_by_their_sample(
    metric: str,
    label: list[Any],
    said: str,
    chain: FakeChain,
    rectifier: str,
    refusal: Refusal,
    tmp_path: Path,
) -> None:
    samples = tmp_path / "samples.npz"
    np.savez(samples, x=np.ones((1, 4), np.float32), labels=np.array([label]))
    count = len(chain.blobs)
    told = refusal(*command(chain, rectifier, samples), "--metric", metric)
    assert said in told
    assert "row 1: " in told
    assert len(chain.blobs) == count


def test_a_light_client_believes_no_forged_measurement(
    chain: FakeChain, rectifier: str, document: Document, consil: Consil, refusal: Refusal, tmp_path: Path
) -> None:
    samples = tmp_path / "samples.npz"
    np.savez(samples, x=np.array(SAMPLES, np.float32), labels=np.array([0, 3]))
    evaluation = document(*command(chain, rectifier, samples))["evaluation"]
    spec = tmp_path / "chain.json"
    consil("chainspec", "build", spec, "--id", "mine", "--validator", "//Alice")
    consil("light", "init", "--chain", spec, "--dir", tmp_path)
    node = ProvingNode(spec)
    node.show(dict(chain.chain.state.iterate(b"")))
    key = next(
        key for key in node.state if bytes.fromhex(evaluation[2:]) in key and len(node.state[key]) > 300
    )
    node.state[key] = node.state[key][:-1] + bytes([node.state[key][-1] ^ 1])
    common = ("--chain", spec, "--dir", tmp_path, "--rpc")
    with serving(node):
        assert "wrong proof" in refusal("model", "verify", evaluation, *common, node.url)
