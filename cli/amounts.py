"""Amounts as people write them: exact decimals with a unit, never a float."""

import re
from dataclasses import dataclass
from typing import Final

from cli.errors import UserError
from primitives.types import U63_MAX, Balance

SMALLEST_UNIT: Final = "plank"
"""Name of the smallest unit, whatever the token is called."""

_AMOUNT: Final = re.compile(r"(\d{1,30})(?:\.(\d{1,30}))?\s*([A-Za-z]{0,16})")


@dataclass(frozen=True, slots=True)
class Token:
    """The chain's token, from the properties of its specification."""

    symbol: str = "CNS"
    decimals: int = 9

    def parse(self, text: str) -> Balance:
        """The amount that `text` names, in the smallest unit. Raises UserError."""
        match = _AMOUNT.fullmatch(text.strip())
        if match is None:
            raise UserError(
                f"'{text}' is not an amount", f"write 1.5, '1.5 {self.symbol}' or '1500 {SMALLEST_UNIT}'"
            )
        whole, fraction, unit = match[1], (match[2] or "").rstrip("0"), match[3]
        if unit.lower() not in ("", self.symbol.lower(), SMALLEST_UNIT):
            raise UserError(f"'{unit}' is not a unit of this chain", f"use {self.symbol} or {SMALLEST_UNIT}")
        decimals = 0 if unit.lower() == SMALLEST_UNIT else self.decimals
        if len(fraction) > decimals:
            raise UserError(
                f"'{text}' is finer than the smallest unit",
                f"{unit or self.symbol} has {decimals} decimals",
            )
        amount = int(whole + fraction.ljust(decimals, "0"))
        if amount > U63_MAX:
            raise UserError(
                f"'{text}' is more than any account can hold", f"at most {self.format(Balance(U63_MAX))}"
            )
        return Balance(amount)

    def format(self, amount: int) -> str:
        """`amount` of the smallest unit, in tokens with their symbol, without trailing zeros."""
        whole, fraction = divmod(abs(amount), 10**self.decimals)
        digits = f"{fraction:0{self.decimals}d}".rstrip("0") if self.decimals else ""
        point = "." if digits else ""
        return f"{'-' if amount < 0 else ''}{whole}{point}{digits} {self.symbol}"
