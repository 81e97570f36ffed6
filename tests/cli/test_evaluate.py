"""`consil model evaluate` on the trained example and the real runtime."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.main import app
from tests.cli.conftest import Consil
from tests.cli.fake_chain import FakeChain
from tests.cli.fake_rpc import serving
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
