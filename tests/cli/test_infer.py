"""`consil infer` on inputs and outputs that are too long for the chain, and on private ones."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from inference.graph import Port
from node.sealing.box import public_key_of
from pallets.sealing import Sealing
from tests.cli.conftest import Consil
from tests.cli.fake_chain import SEALING_SEED, FakeChain
from tests.cli.fake_rpc import serving
from tests.cli.proving_node import ProvingNode
from tests.inference.build import TO_FLOAT, TO_INT32, file, node

Document = Callable[..., Any]
Refusal = Callable[..., str]

WIDE = 5_000
"""Elements of an input longer than a request holds, and of an output longer than the state keeps."""


def model_of(width: int) -> bytes:
    """int8 x[1, width] -> y = Relu(x)."""
    nodes = [
        node("Cast", "x", "real", to=TO_FLOAT),
        node("Relu", "real", "positive"),
        node("Round", "positive", "rounded"),
        node("Cast", "rounded", "y", to=TO_INT32),
    ]
    return file(nodes, [Port("x", "int8", (1, width))], [Port("y", "int32", (1, width))])


@pytest.fixture
def chain() -> Iterator[FakeChain]:
    fake = FakeChain()
    with serving(fake):
        yield fake


@pytest.fixture
def register(chain: FakeChain, document: Document, tmp_path: Path) -> Callable[[int], str]:
    """Registers a model of some width; its identity."""

    def registered(width: int) -> str:
        path = tmp_path / f"{width}.onnx"
        path.write_bytes(model_of(width))
        options = ("--name", f"relu {width}", "--from", "//Alice", "--rpc", chain.url, "--wait")
        return str(document("model", "register", path, *options)["id"])

    return registered


def values(width: int) -> list[int]:
    return [index % 200 - 100 for index in range(width)]


def ask(chain: FakeChain, model: str, width: int, tmp_path: Path, *options: object) -> list[object]:
    given = ["--input", json.dumps(values(width)), "--from", "//Bob", "--rpc", chain.url]
    return ["infer", "request", model, *given, "--keystore", tmp_path / "keys", "--wait", *options]


def rectified(width: int) -> dict[str, list[float]]:
    return {"y": [max(0.0, float(value)) for value in values(width)]}


def test_what_is_too_long_for_the_chain_goes_and_comes_by_its_hash(
    chain: FakeChain, register: Callable[[int], str], document: Document, tmp_path: Path
) -> None:
    answer = document(*ask(chain, register(WIDE), WIDE, tmp_path))
    assert answer["values"] == rectified(WIDE)
    record = answer["record"]
    assert (record["input_form"], record["is_output_stored"]) == ("stored", True)
    assert bytes.fromhex(record["input_hash"][2:]) in chain.blobs
    shown = document("infer", "show", answer["request"], "--rpc", chain.url)
    assert "can be challenged up to block" in shown.pop("dispute")
    assert shown == answer


def test_an_answer_that_is_gone_or_another_is_not_believed(
    chain: FakeChain, register: Callable[[int], str], document: Document, tmp_path: Path
) -> None:
    request = document(*ask(chain, register(WIDE), WIDE, tmp_path))["request"]
    longest = max(chain.blobs, key=lambda blob: len(chain.blobs[blob]))
    chain.blobs[longest] = b"forged"
    shown = document("infer", "show", request, "--rpc", chain.url)
    assert "another blob than" in shown["answer"]
    assert "values" not in shown
    del chain.blobs[longest]
    shown = document("infer", "show", request, "--rpc", chain.url)
    assert "no connected peer gives it" in shown["answer"]


@pytest.fixture
def proving(consil: Consil, chain: FakeChain, tmp_path: Path) -> Iterator[ProvingNode]:
    spec = tmp_path / "chain.json"
    consil("chainspec", "build", spec, "--id", "mine", "--validator", "//Alice")
    consil("light", "init", "--chain", spec, "--dir", tmp_path)
    made = ProvingNode(spec)
    made.give = chain.give  # type: ignore[method-assign]
    with serving(made):
        yield made


def verify(chain: FakeChain, proving: ProvingNode, tmp_path: Path, request: str) -> list[object]:
    """The command that checks a record as a light client."""
    proving.show(dict(chain.chain.state.iterate(b"")))
    common = ["--chain", tmp_path / "chain.json", "--dir", tmp_path, "--rpc", proving.url]
    return ["infer", "verify", request, *common, "--keystore", tmp_path / "keys"]


def test_a_long_answer_is_verified_and_computed_again(
    chain: FakeChain,
    register: Callable[[int], str],
    proving: ProvingNode,
    document: Document,
    refusal: Refusal,
    tmp_path: Path,
) -> None:
    answer = document(*ask(chain, register(WIDE), WIDE, tmp_path))
    run = verify(chain, proving, tmp_path, answer["request"])
    assert document(*run)["values"] == rectified(WIDE)
    again = [*run, "--file", tmp_path / f"{WIDE}.onnx", "--input"]
    assert document(*again, json.dumps(values(WIDE)))["recomputed"] is True
    assert "another input hash" in refusal(*again, json.dumps([0] * WIDE))


def seal(chain: FakeChain, document: Document, *options: str) -> None:
    """Alice, the only validator, registers the sealing key of her node."""
    done = document("key", "seal", "--from", "//Alice", "--wait", "--rpc", chain.url, *options)
    assert "failure" not in done


def test_a_private_request_is_read_by_validators_and_answered_to_the_requester_alone(
    chain: FakeChain,
    register: Callable[[int], str],
    proving: ProvingNode,
    consil: Consil,
    document: Document,
    refusal: Refusal,
    tmp_path: Path,
) -> None:
    seal(chain, document)
    command = ask(chain, register(3), 3, tmp_path, "--private")
    result = consil(*command, "--json")
    assert result.exit_code == 0, result.stderr
    assert "private means that every validator can read the input" in result.stderr
    answer = json.loads(result.stdout)
    assert answer["values"] == rectified(3)
    record = answer["record"]
    assert (record["input_form"], record["is_output_sealed"]) == ("sealed", True)
    plain = bytes(value % 256 for value in values(3))
    assert not [data for data in chain.blobs.values() if plain in data]
    elsewhere = ("--keystore", tmp_path / "others")
    stranger = document("infer", "show", answer["request"], "--rpc", chain.url, *elsewhere)
    assert stranger["answer"].startswith("sealed")
    assert "values" not in stranger
    run = verify(chain, proving, tmp_path, answer["request"])
    assert document(*run)["values"] == rectified(3)
    again = ["--file", tmp_path / "3.onnx", "--input", json.dumps(values(3))]
    assert document(*run, *again)["recomputed"] is True
    assert "the input is private" in refusal(*run[:-2], *elsewhere, *again)


def test_who_copies_a_private_request_learns_nothing(
    chain: FakeChain, register: Callable[[int], str], document: Document, tmp_path: Path
) -> None:
    """With all that is public of it, somebody else asks a model that gives its input back, in public."""
    seal(chain, document)
    model = register(3)
    document(*ask(chain, model, 3, tmp_path, "--private"))
    [(_, request)] = chain.chain.runtime._pallets(chain.chain.state).inference.requests.items()
    fixed = request.input
    assert fixed.blob is not None
    assert fixed.panel is not None
    arguments: dict[str, object] = {
        "model": model,
        "commitment": f"0x{fixed.hash.hex()}",
        "blob": f"0x{fixed.blob.hex()}",
        "size_bytes": fixed.size_bytes,
        "panel": f"0x{fixed.panel.hex()}",
        "is_output_sealed": "false",
        "max_fee": "5",
    }
    options = [word for name, value in arguments.items() for word in (f"--{name}", value)]
    call = ("tx", "submit", "inference.request_private", *options, "--from", "//Alice", "--wait")
    done = document(*call, "--rpc", chain.url)
    assert "failure" not in done
    [job] = [one["fields"]["job"] for one in done["events"] if one["event"] == "inference.Requested"]
    while document("infer", "show", job, "--rpc", chain.url)["status"] == "open":
        pass
    shown = document("infer", "show", job, "--rpc", chain.url)
    assert shown["status"] == "no quorum"
    assert [seat["conduct"] for seat in shown["record"]["attestations"]] == ["cannot_open"]
    assert "values" not in shown


def test_a_private_request_may_have_a_public_answer(
    chain: FakeChain, register: Callable[[int], str], document: Document, refusal: Refusal, tmp_path: Path
) -> None:
    seal(chain, document)
    model = register(3)
    answer = document(*ask(chain, model, 3, tmp_path, "--private", "--public-answer"))
    assert answer["record"]["output"] is not None
    stranger = document(
        "infer", "show", answer["request"], "--rpc", chain.url, "--keystore", tmp_path / "others"
    )
    assert stranger["values"] == rectified(3)
    refusal(*ask(chain, model, 3, tmp_path, "--public-answer"), code=2)


@pytest.fixture
def liar(chain: FakeChain, proving: ProvingNode) -> FakeChain:
    """The chain's node proves its state, and tells a key of its own for that of the validator."""
    state_call = chain.methods["state_call"]

    def lie(name: str, arguments: Any) -> Any:
        said = state_call(name, arguments)
        return [{**one, "key": f"0x{TAPPER.hex()}"} for one in said] if name == "sealing.readers" else said

    chain.methods |= {name: each for name, each in proving.methods.items() if name.startswith("light_")}
    chain.methods["state_call"] = lie
    return chain


TAPPER = public_key_of(type(SEALING_SEED)(b"\x66" * 32))


@pytest.fixture
def lied_about(
    liar: FakeChain, register: Callable[[int], str], proving: ProvingNode, document: Document
) -> str:
    """A model whose panel has a sealing key, as the node proves."""
    seal(liar, document)
    model = register(3)
    proving.show(dict(liar.chain.state.iterate(b"")))
    return model


@pytest.fixture
def proved(tmp_path: Path) -> tuple[object, ...]:
    """The options of who believes proofs alone."""
    return ("--chain", tmp_path / "chain.json", "--dir", tmp_path)


def test_by_proofs_nothing_is_sealed_to_a_key_that_the_node_made_up(
    liar: FakeChain,
    lied_about: str,
    proved: tuple[object, ...],
    document: Document,
    refusal: Refusal,
    tmp_path: Path,
) -> None:
    answer = document(*ask(liar, lied_about, 3, tmp_path, "--private"), *proved)
    assert answer["values"] == rectified(3)
    assert not [data for data in liar.blobs.values() if bytes(TAPPER) in data]
    assert "NotSealedForPanel" in refusal(*ask(liar, lied_about, 3, tmp_path, "--private"))
    assert [data for data in liar.blobs.values() if bytes(TAPPER) in data]


def test_a_node_that_proves_nothing_gets_nothing_private(
    liar: FakeChain,
    lied_about: str,
    proved: tuple[object, ...],
    proving: ProvingNode,
    refusal: Refusal,
    tmp_path: Path,
) -> None:
    [key] = [key for key in proving.state if key.startswith(Sealing.keys.prefix)]
    proving.state[key] = proving.state[key].replace(public_key_of(SEALING_SEED), TAPPER)
    count = len(liar.blobs)
    assert "wrong proof" in refusal(*ask(liar, lied_about, 3, tmp_path, "--private"), *proved)
    del proving.state[key]
    proving.show(proving.state)
    assert "0 of 1 validators" in refusal(*ask(liar, lied_about, 3, tmp_path, "--private"), *proved)
    assert len(liar.blobs) == count


def test_without_sealing_keys_there_are_no_private_requests(
    chain: FakeChain, register: Callable[[int], str], refusal: Refusal, tmp_path: Path
) -> None:
    line = refusal(*ask(chain, register(3), 3, tmp_path, "--private"))
    assert "0 of 1 validators take private inputs" in line
    assert "consil key seal" in line


def test_a_panel_that_cannot_open_what_it_got_is_no_quorum_and_paid(
    chain: FakeChain, register: Callable[[int], str], document: Document, consil: Consil, tmp_path: Path
) -> None:
    seal(chain, document)
    model = register(3)
    chain.secrets = {public_key_of(SEALING_SEED): type(SEALING_SEED)(bytes(32))}
    result = consil(*ask(chain, model, 3, tmp_path, "--private"))
    assert result.exit_code == 1
    assert "cannot_open" in result.stdout


def test_a_wrong_answer_is_challenged_and_changed(
    chain: FakeChain, register: Callable[[int], str], document: Document, refusal: Refusal, tmp_path: Path
) -> None:
    model = register(3)
    honest, chain.outcome_of = chain.outcome_of, lambda task: b"a lie"  # type: ignore[method-assign]
    request = ask(chain, model, 3, tmp_path)
    request.remove("--wait")
    job = document(*request)["request"]
    for _ in range(2):
        document("infer", "show", job, "--rpc", chain.url)
    chain.outcome_of = honest  # type: ignore[method-assign]
    options = ("--from", "//Alice", "--rpc", chain.url)
    assert "more than --max-bond" in refusal("infer", "challenge", job, *options, "--max-bond", "0.00000001")
    done = document("infer", "challenge", job, *options, "--wait")
    assert (done["status"], done["overturned"]) == ("ruled", True)
    shown = document("infer", "show", job, "--rpc", chain.url)
    assert (shown["values"], shown["dispute"]) == (rectified(3), "overturned: another answer stood here")
    assert document("query", "conduct", "//Alice", "--rpc", chain.url)["overturned"] == 1
    assert "cannot be challenged" in refusal("infer", "challenge", job, *options)


def test_a_deployed_model_answers_in_the_block_of_the_question(
    chain: FakeChain, register: Callable[[int], str], document: Document, refusal: Refusal, consil: Consil
) -> None:
    model = register(3)
    given = ("--input", json.dumps(values(3)), "--rpc", chain.url)
    run = ("infer", "now", model, "--from", "//Bob", *given)
    assert "is not run in blocks" in refusal(*run)
    owner = ("--from", "//Alice", "--rpc", chain.url)
    made = document("model", "deploy", model, *owner)
    result = consil(*run)
    assert result.exit_code == 1
    assert "instant.NotDeployed" in result.stderr
    while len(chain.chain.hashes) < made["since"]:
        chain.grow()
    answer = document(*run)
    assert answer["values"] == rectified(3)
    record = chain.view("instant.receipt", [answer["id"]])
    assert record["height"] == answer["height"]
    assert "instant.AlreadyDeployed" in consil("model", "deploy", model, *owner).stderr
