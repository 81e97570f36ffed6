"""`consil infer`: answers of a model that validators computed and signed."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cli.accounts import signing_key
from cli.answers import Secrets, read_output
from cli.chain import Chain, asking_blobs
from cli.disputes import EPILOG as CHALLENGE
from cli.disputes import challenge, disputed
from cli.errors import UserError
from cli.exact import certificate_of, outputs_document, print_outputs
from cli.inputs import InputOption, RowOption, SamplesOption, read_input, tell_limited
from cli.instant import NOW, now
from cli.model import ModelId, print_seats
from cli.options import (
    AMOUNT_HELP,
    DEFAULT_BELIEFS,
    DEFAULT_KEYSTORE,
    DEFAULT_RPC,
    SIGNER_HELP,
    BeliefDirectory,
    ChainOption,
    Json,
    KeystoreDirectory,
    Rpc,
    command_group,
    examples,
)
from cli.orders import Privacy, plan
from cli.output import print_json, progress, warn
from cli.submission import event_fields, execute
from inference.certificate import ExactnessCertificate, decode_outputs, encode_inputs
from primitives.types import AccountId

app = command_group()

PUBLIC: Final = "inputs are public: everybody can read what is sent, for ever"
BELIEVED: Final = "the keys are those that the node tells: ask one of your own, or give --chain"
PRIVATE: Final = "private means that every validator can read the input, for ever; nobody else can"

_NO_QUORUM: Final = "no quorum"
_POLL_S: Final = 0.2

Job = Annotated[
    str, typer.Argument(metavar="REQUEST", help="Its identity, as `consil infer request` prints it.")
]


@app.command(
    epilog=examples(
        "consil infer request 0xMODEL --samples test.csv --row 3 --from //Alice --wait",
        "consil infer request 0xMODEL --input '[0.5, 1.25, 7]' --max-fee 0.1 --from anna",
        "consil infer request 0xMODEL --samples mine.csv --private --from anna --wait",
        "consil infer request 0xMODEL --samples mine.csv --private --chain chain.json --from anna",
    )
)
def request(
    model: ModelId,
    signer: Annotated[str, typer.Option("--from", metavar="KEY", help=SIGNER_HELP)],
    input_: InputOption = None,
    samples: SamplesOption = None,
    row: RowOption = 1,
    max_fee: Annotated[
        str | None, typer.Option(help=f"Most to pay; else what is asked now. {AMOUNT_HELP}")
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Let only the validators read the input; each of them can.")
    ] = False,
    public_answer: Annotated[
        bool, typer.Option("--public-answer", help="With --private: let everybody read the answer.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="Return with the attested answer.")] = False,
    anchor: Annotated[
        str | None,
        typer.Option("--chain", help="Of a light client that was begun: believe proofs, and not the node."),
    ] = None,
    directory: BeliefDirectory = DEFAULT_BELIEFS,
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    rpc: Rpc = DEFAULT_RPC,
    as_json: Json = False,
) -> None:
    """Have validators run a proven model on an input, and attest the answer.

    The input is public: everybody can read it, for ever. With --private it is sealed to the validators of the
    moment, and so is the answer: every one of them can read both, for ever, and nobody else but you. The
    secret that opens the answer stays in the keystore. What is too long for the chain goes through the node,
    which must stay up until the answer is there.

    With --chain, as for `consil light`, the keys of the validators and what they proved of the model are
    believed by their proof alone. Without it, a node that lies about the keys reads what is private.
    """
    if public_answer and not private:
        raise typer.BadParameter("the answer is public anyway", param_hint="--public-answer")
    with Chain(rpc, keystore) as chain:
        key = signing_key(signer, chain.keystore)
        certificate, readers = _known(chain, rpc, model, anchor, directory)
        encoded = read_input(certificate, input_, samples, row)
        tell_limited(encoded.limited)
        inputs = encode_inputs(certificate, encoded.tensors)
        privacy = Privacy(
            readers=readers() if private else (),
            requester=AccountId(key.public_key),
            model=model,
            is_output_sealed=not public_answer,
        )
        order = plan(inputs, privacy if private else None)
        quote = chain.view("inference.quote", model=model, **order.size)
        if quote is None:
            raise _not_usable(model)
        most = _most(chain, quote["total"], max_fee)
        warn(PRIVATE if private else PUBLIC)
        if private and anchor is None:
            warn(BELIEVED)
        arguments = {"model": model, "max_fee": f"{most} plank", **order.send(chain)}
        with progress("sending the request", silent=as_json) as report:
            done = execute(chain, key, order.call, arguments, report.note)
            job = str(event_fields(done, "inference.Requested")["job"])
            if wait:
                document = _describe(chain, _wait_answer(chain, job, report.note), job)
            else:
                document = {"request": job, "status": "open", "fee": quote["total"]}
    _show(document, as_json)
    _ensure_agreed(document)


@app.command(epilog=examples("consil infer watch 0xREQUEST"))
def watch(
    job: Job, keystore: KeystoreDirectory = DEFAULT_KEYSTORE, rpc: Rpc = DEFAULT_RPC, as_json: Json = False
) -> None:
    """Wait for the answer to a request, and show it."""
    with Chain(rpc, keystore) as chain, progress("waiting for the validators", silent=as_json) as report:
        document = _describe(chain, _wait_answer(chain, job, report.note), job)
    _show(document, as_json)
    _ensure_agreed(document)


@app.command(epilog=examples("consil infer show 0xREQUEST", "consil infer show 0xREQUEST --json"))
def show(
    job: Job, keystore: KeystoreDirectory = DEFAULT_KEYSTORE, rpc: Rpc = DEFAULT_RPC, as_json: Json = False
) -> None:
    """Show the record of a request: the answer, and who attested it."""
    with Chain(rpc, keystore) as chain:
        record = chain.view("inference.receipt", job=job)
        if record is None:
            _ensure_open(chain, job)
            _show({"request": job, "status": "open"}, as_json)
            return
        _show(_describe(chain, record, job) | disputed(chain, job, record), as_json)


@app.command(
    epilog=examples(
        "consil infer verify 0xREQUEST --chain chain.json              the record, by its proof",
        "consil infer verify 0xREQUEST --chain chain.json --file exact.onnx --samples test.csv --row 3",
    )
)
def verify(
    job: Job,
    file: Annotated[Path | None, typer.Option(help="The model: also compute the answer here.")] = None,
    input_: InputOption = None,
    samples: SamplesOption = None,
    row: RowOption = 1,
    chain: ChainOption = "local",
    directory: BeliefDirectory = DEFAULT_BELIEFS,
    keystore: KeystoreDirectory = DEFAULT_KEYSTORE,
    rpc: Rpc = DEFAULT_RPC,
    as_json: Json = False,
) -> None:
    """Check a record as a light client does, believing no node; with --file, also compute it again.

    An answer that is too long for the chain is fetched from the node, and believed by its hash.

    Exit code 1 if the proof is wrong, or the answer is another.
    """
    from cli.proved_record import recompute, verify_record

    proved = verify_record(chain, directory, rpc, "inference.records", job)
    secrets = Secrets(keystore)

    def read() -> bytes | None:
        with asking_blobs(rpc) as fetch:
            return read_output(proved.record, fetch, secrets)

    document = _document(proved.certificate, proved.record, job, read) | {
        "verified": True,
        "finalBlock": proved.height,
        "proofBytes": proved.proof_bytes,
    }
    if file is not None:
        take = partial(read_input, text=input_, samples=samples, row=row)
        recompute(proved.record, file, take, secrets)
        document["recomputed"] = True
    _show(document, as_json)


app.command(epilog=CHALLENGE)(challenge)
app.command(epilog=NOW)(now)


def model_certificate(chain: Chain, model: str, *, request_of: bool = False) -> ExactnessCertificate:
    """What validators proved of a model. Raises UserError if nothing yet, or it is asked for a request."""
    proof = chain.view("models.proof", model=model)
    if proof is None and request_of:
        raise _not_usable(model)
    if proof is None:
        raise UserError(f"the model {model} is not proven", "`consil model show` tells its state")
    return certificate_of(proof["verdict"])


def _known(
    chain: Chain, rpc: str, model: str, anchor: str | None, directory: Path
) -> tuple[ExactnessCertificate, Callable[[], list[dict[str, Any]]]]:
    """What validators found of a model, and who reads what is private: by proofs, if there is an anchor."""
    if anchor is None:
        certificate = model_certificate(chain, model, request_of=True)
        return certificate, lambda: list(chain.view("sealing.readers"))
    from cli.proved_record import prove_model_and_readers

    certificate, readers = prove_model_and_readers(anchor, directory, rpc, model)
    return certificate, lambda: readers


def _most(chain: Chain, cost: int, max_fee: str | None) -> int:
    """What may be paid at most. Raises UserError if that is not enough."""
    most = cost if max_fee is None else chain.token.parse(max_fee)
    if most < cost:
        raise UserError(
            f"the request costs {chain.token.format(cost)}, more than --max-fee",
            "pay more, or choose another model",
        )
    return most


def _not_usable(model: str) -> UserError:
    return UserError(
        f"the model {model} does not exist or is not proven", "`consil model list` shows which are"
    )


def _wait_answer(chain: Chain, job: str, note: Callable[[str], None]) -> dict[str, Any]:
    """The record of a request; jobs have deadlines, so that there always is one."""
    while True:
        found: dict[str, Any] | None = chain.view("inference.receipt", job=job)
        if found is not None:
            return found
        _ensure_open(chain, job)
        note("the request is final; validators commit to their answers, then reveal them")
        time.sleep(_POLL_S)


def _ensure_open(chain: Chain, job: str) -> None:
    """Raises UserError for a request that there is not; one that was just answered is none of those."""
    if chain.view("inference.pending", job=job) is None and chain.view("inference.receipt", job=job) is None:
        raise UserError(f"no request {job}", "check its identity; old records make room for new ones")


def _ensure_agreed(document: dict[str, Any]) -> None:
    """Raises UserError for a request that came to nothing."""
    if document["status"] == _NO_QUORUM:
        raise UserError(
            "the validators did not agree on an answer", "what is left was paid back; ask again later"
        )


def _describe(chain: Chain, record: dict[str, Any], job: str) -> dict[str, Any]:
    certificate = model_certificate(chain, record["model"])
    secrets = Secrets(chain.keystore.directory)
    return _document(certificate, record, job, lambda: read_output(record, chain.download, secrets))


def _document(
    certificate: ExactnessCertificate, record: dict[str, Any], job: str, read: Callable[[], bytes | None]
) -> dict[str, Any]:
    """A record with its answer as real numbers; `read` gives the answer, or raises UserError."""
    answer: dict[str, Any] = {}
    try:
        output = read()
    except UserError as error:
        output = None
        answer["answer"] = f"not to be had: {error}"
    if output is not None:
        answer = outputs_document(certificate, decode_outputs(certificate, output))
    elif record["output"] is not None and not answer:
        answer["answer"] = "sealed: only who made the request can read it"
    agreed = [seat for seat in record["attestations"] if seat["conduct"] == "agreed"]
    return {
        "request": job,
        "status": _NO_QUORUM if record["output"] is None else "answered",
        **answer,
        "attestations": len(agreed),
        "panel": len(record["attestations"]),
        "record": record,
    }


def _show(document: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(document)
        return
    shown = {name: value for name, value in document.items() if name not in ("record", "values")}
    if "panel" in document:
        shown["attestations"] = f"{document['attestations']} of {document['panel']} validators"
        del shown["panel"]
    print_outputs(shown | {"values": document.get("values", {})})
    print_seats(document.get("record", {}).get("attestations", []))
