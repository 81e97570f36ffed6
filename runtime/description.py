"""The metadata of this runtime."""

from functools import cache

from frame.description import describe_pallet
from frame.metadata import Metadata
from runtime.constants import (
    BALANCES,
    DISPUTES,
    EVALUATION,
    FEES,
    GAS,
    INFERENCE,
    INSTANT,
    JOBS,
    MODELS,
    OFFENCES,
    SEALING,
    SESSION,
    SPEC_NAME,
    SPEC_VERSION,
    TOKEN_DECIMALS,
)
from runtime.pallets import PALLETS

_CONFIGS: dict[str, object] = {
    "balances": BALANCES,
    "fees": FEES,
    "gas": GAS,
    "jobs": JOBS,
    "models": MODELS,
    "inference": INFERENCE,
    "session": SESSION,
    "offences": OFFENCES,
    "disputes": DISPUTES,
    "evaluation": EVALUATION,
    "instant": INSTANT,
    "sealing": SEALING,
}


@cache
def describe_runtime() -> Metadata:
    """Every pallet, described once."""
    return Metadata(
        spec_name=SPEC_NAME,
        spec_version=SPEC_VERSION,
        token_decimals=TOKEN_DECIMALS,
        pallets=tuple(
            describe_pallet(pallet, index, _CONFIGS.get(pallet.NAME)) for index, pallet in PALLETS.items()
        ),
    )
