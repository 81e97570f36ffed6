"""The constants of the chain. Changing one is a new spec version."""

from collections.abc import Mapping
from typing import Final

from frame.account import pallet_account
from frame.weight import CallClass, Share, Weight
from inference.gas import GAS_TIME_PS, MARGIN
from pallets import (
    balances,
    disputes,
    evaluation,
    fees,
    gas,
    inference,
    instant,
    jobs,
    models,
    offences,
    sealing,
    session,
)
from primitives.block import BODY_BYTES_MAX
from primitives.types import Balance, SpecVersion

SPEC_NAME: Final = "consilience"
SPEC_VERSION: Final = SpecVersion(1)

TOKEN_DECIMALS: Final = 9
TOKEN: Final = 10**TOKEN_DECIMALS
"""One token in its smallest units."""


TREASURY: Final = pallet_account("treasury")

BLOCK_WEIGHT: Final = Weight(500_000_000_000, 16 * 1024 * 1024)
"""Half a second of reference time: a block must be executed well within the block time of a wide network."""

BODY_FRAME_BYTES: Final = 16
"""More than the array headers of a body take; the rest of BODY_BYTES_MAX is for its calls."""

BLOCK_SHARE: Final = Share(BLOCK_WEIGHT, BODY_BYTES_MAX - BODY_FRAME_BYTES)
"""What all classes together may take."""

SHARES: Final[Mapping[CallClass, Share]] = {
    CallClass.NORMAL: Share(
        Weight(BLOCK_WEIGHT.reference_time_ps * 3 // 4, BLOCK_WEIGHT.proof_size_bytes * 3 // 4),
        BODY_BYTES_MAX * 3 // 4,
    ),
    CallClass.OPERATIONAL: BLOCK_SHARE,
    CallClass.MANDATORY: BLOCK_SHARE,
}
"""A quarter of the block is out of the reach of normal calls."""

EXTRINSIC_WEIGHT: Final = Weight(60_000_000, 1_000)
"""What every extrinsic costs before its call: signature, nonce, fee."""

CALL_DEPTH_MAX: Final = 4
"""How many calls may stand inside one another: batches of a multisig of a proxy, and one more."""

FUTURE_NONCES_MAX: Final = 64
"""How far ahead of its account an extrinsic may wait in the pool."""

BALANCES: Final = balances.Config(existential_deposit=Balance(TOKEN // 10_000))

FEES: Final = fees.Config(
    per_byte=Balance(1_000),
    per_nanosecond=Balance(1),
    per_proof_byte=Balance(10),
    author_share=200_000_000,
    treasury=TREASURY,
)
"""A token buys a second of reference time; a transfer costs about 0.0003 tokens."""

GAS: Final = gas.Config(
    per_million_initial=Balance(100_000),
    per_million_max=Balance(TOKEN),
    slot_initial=gas.SlotPrices(Balance(TOKEN // 100), Balance(10)),
    slot_max=gas.SlotPrices(Balance(1_000 * TOKEN), Balance(TOKEN)),
)
"""A run of ten million multiply-adds costs about 0.001 tokens; a place for it costs 0.01, and
as much again each MiB of its input. To keep all places taken costs thousands of tokens a day."""

JOBS: Final = jobs.Config(
    open_max=64,
    open_gas_max=4_000_000_000_000,
    open_bytes_max=512 * 1024 * 1024,
    gas_time_ps=GAS_TIME_PS,
    time_margin=MARGIN,
    grace_ms=30_000,
    reveal_ms=10_000,
    treasury_share=200_000_000,
    treasury=TREASURY,
    messages_max=256,
    result_bytes_max=BODY_BYTES_MAX // 4,
)
"""The open bytes are an eighth of what a node keeps of blobs: inputs of open jobs do not push out each other.
The open gas is that of five proofs of the largest model: 72 seconds of reference time. A worker that is just
not hanging commits in time: both have the same margin."""

MODELS: Final = models.Config(deposit=Balance(TOKEN), models_max=10_000)

INFERENCE: Final = inference.Config(records_max=100_000)
"""About 100 MB of records of ten validators each."""

SESSION: Final = session.Config(spec_version=SPEC_VERSION, key_deposit=Balance(TOKEN), history_epochs=144)
"""A day of epochs of the wide network, at most 10 kB each."""

DISPUTES: Final = disputes.Config(window_blocks=600, treasury=TREASURY)
"""Five minutes of the local network. What a job was about, 8 kB at most, stays in the state so long."""

EVALUATION: Final = evaluation.Config(deposit=Balance(TOKEN), datasets_max=10_000, records_max=100_000)

INSTANT: Final = instant.Config(
    price=Balance(10 * TOKEN),
    treasury=TREASURY,
    models_max=64,
    bytes_max=32 * 1024 * 1024,
    ready_bytes_max=256 * 1024 * 1024,
    lead_blocks=20,
    records_max=100_000,
)

SEALING: Final = sealing.Config(key_deposit=Balance(TOKEN))

OFFENCES: Final = offences.Config(reports_max=16, records_max=10_000)
"""About 5 MB of records. Every member of a committee can be reported once for each kind and epoch, which only
a chain of thousands of thieves would need."""
