"""Why a model is refused: a verdict that every machine reaches on the same bytes."""

from typing import Annotated, Final, NoReturn

import msgspec

from primitives.codec import Record

NODE_CHARACTERS_MAX: Final = 160
REASON_CHARACTERS_MAX: Final = 400


class Refusal(Record, frozen=True, tag="refused"):
    """The place in the model and the reason, in words for its author."""

    node: Annotated[str, msgspec.Meta(max_length=NODE_CHARACTERS_MAX)]
    """For example `node 3 (Gemm -> hidden)`; `model` if no single node is to blame."""
    reason: Annotated[str, msgspec.Meta(max_length=REASON_CHARACTERS_MAX)]


class Refused(Exception):
    """The model or the inputs cannot be used; no retry and no other machine will change that."""

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(f"{node}: {reason}")
        self.refusal = Refusal(node=node[:NODE_CHARACTERS_MAX], reason=reason[:REASON_CHARACTERS_MAX])


def refuse(reason: str, node: str = "model") -> NoReturn:
    """Raises Refused."""
    raise Refused(node, reason)
