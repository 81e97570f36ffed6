"""Which real numbers an input's or output's integers stand for, as the model file itself declares it.

The file carries, for a port NAME, the metadata `exact.scale.NAME` and `exact.zero.NAME`: one entry for all
channels of the last dimension, or one for each, separated by single spaces. A scale is
`numerator/denominator` in lowest terms, a zero point an integer. Absent entries mean scale 1 and zero point
0. A declaration never widens or narrows what is proved: it only says how to read it.
"""

import re
from collections.abc import Mapping, Sequence
from math import gcd
from typing import Final

from inference.certificate import SCALES_MAX, Scale
from inference.graph import METADATA_PREFIX, Port
from inference.refusal import refuse
from primitives.types import U63_MAX

SCALE_KEY: Final = METADATA_PREFIX + "scale."
ZERO_KEY: Final = METADATA_PREFIX + "zero."

_SCALE: Final = re.compile(r"([1-9][0-9]{0,18})/([1-9][0-9]{0,18})", re.ASCII)
_ZERO: Final = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)


def declare(name: str, scales: Sequence[Scale], zero_points: Sequence[int]) -> dict[str, str]:
    """The metadata that declares them for a port."""
    return {
        SCALE_KEY + name: " ".join(f"{scale.numerator}/{scale.denominator}" for scale in scales),
        ZERO_KEY + name: " ".join(str(zero) for zero in zero_points),
    }


def declared(port: Port, metadata: Mapping[str, str]) -> tuple[tuple[Scale, ...], tuple[int, ...]]:
    """The scales and zero points of a port. Raises Refused."""
    scales = [_scale(text, port.name) for text in _entries(port, metadata.get(SCALE_KEY + port.name, "1/1"))]
    zeros = [_zero(text, port.name) for text in _entries(port, metadata.get(ZERO_KEY + port.name, "0"))]
    return tuple(scales), tuple(zeros)


def ensure_known(metadata: Mapping[str, str], names: Sequence[str]) -> None:
    """Raises Refused for metadata of ours that says nothing about a port."""
    known = {key + name for name in names for key in (SCALE_KEY, ZERO_KEY)}
    for key in metadata:
        if key not in known:
            refuse(f"the metadata {key[:80]!r} belongs to no input or output")


def _entries(port: Port, text: str) -> list[str]:
    entries = text.split(" ")
    channels = port.shape[-1] if port.shape else 1
    if len(entries) not in (1, channels):
        refuse(f"{len(entries)} scales or zero points for {channels} channels", port.name)
    if len(entries) > SCALES_MAX:
        refuse(f"{len(entries)} scales or zero points, more than {SCALES_MAX}", port.name)
    return entries


def _scale(text: str, name: str) -> Scale:
    match = _SCALE.fullmatch(text)
    if match is None:
        refuse(f"the scale {text[:40]!r} is not numerator/denominator", name)
    numerator, denominator = int(match[1]), int(match[2])
    if max(numerator, denominator) > U63_MAX or gcd(numerator, denominator) != 1:
        refuse(f"the scale {text[:40]!r} is too long or not in lowest terms", name)
    return Scale(numerator=numerator, denominator=denominator)


def _zero(text: str, name: str) -> int:
    if _ZERO.fullmatch(text) is None or abs(int(text)) > U63_MAX:
        refuse(f"the zero point {text[:40]!r} is not an integer of 63 bits", name)
    return int(text)
