"""The guide for models: its cards are cards, its commands and what it says of refusals exist."""

import re
from typing import Final

import msgspec

from inference.converter.gate import FLOAT, HINTS
from inference.graph import MODEL_BYTES_MAX
from inference.preparation.card import Card
from tests.docs.run_guide import MODELS_GUIDE, blocks

TEXT: Final = MODELS_GUIDE.read_text(encoding="utf-8")


def test_the_cards_are_cards() -> None:
    cards = re.findall(r"(?:^    .*\n)+", TEXT, re.MULTILINE)
    kinds = [
        type(entry).__name__
        for card in cards
        for entry in msgspec.json.decode(card, type=Card).inputs.values()
    ]
    assert kinds == ["ImageInput", "TextInput", "MaskInput", "TableInput"]


def test_the_commands_are_those_that_are_run() -> None:
    run = "".join(blocks(MODELS_GUIDE))
    for command in ("convert", "run", "compare", "inspect", "prove", "register", "list"):
        assert f"consil model {command}" in run


def test_limits_and_refusals_are_those_of_the_code() -> None:
    assert f"operator sets {FLOAT.versions[0]} to {FLOAT.versions[-1]}" in TEXT
    assert f"{MODEL_BYTES_MAX >> 20} MiB in all" in TEXT
    for operator, said in (
        ("LSTM", "recurrent layers"),
        ("SVMClassifier", "kernel machines"),
        ("Scan", "loops"),
    ):
        assert said in TEXT
        assert said in HINTS[operator]
