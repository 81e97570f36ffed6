"""What a card may say, and what is refused in it."""

from pathlib import Path

import pytest

from inference.preparation.card import Card, Fit, ImageInput, TextInput, card_path, read_card, write_card
from inference.preparation.errors import PreparationError


def test_a_card_beside_the_model(tmp_path: Path) -> None:
    file = card_path(tmp_path / "digits.onnx")
    assert file.name == "digits.card.json"
    file.write_text('{"inputs": {"x": {"kind": "image", "fit": "pad"}}, "labels": ["no", "yes"]}')
    card = read_card(file)
    assert card.inputs == {"x": ImageInput(fit=Fit.PAD)}
    assert [card.label(index) for index in range(3)] == ["no", "yes", "2"]


def test_a_vocabulary_in_a_file_of_its_own_becomes_part_of_the_card(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[UNK]\nhello\n")
    file = tmp_path / "m.card.json"
    file.write_text(
        '{"inputs": {"ids": {"kind": "text", "split": "words", "unknown": "[UNK]",'
        ' "vocabulary_file": "vocab.txt"}}}'
    )
    card = read_card(file)
    (entry,) = card.inputs.values()
    assert isinstance(entry, TextInput)
    assert entry.vocabulary == ("[UNK]", "hello")
    (tmp_path / "vocab.txt").unlink()
    file.write_bytes(write_card(card))
    assert read_card(file) == card


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"inputs": {"x": {"kind": "sound"}}}',
        '{"inputs": {"x": {"kind": "image", "size": 3}}}',
        '{"inputs": {"x": {"kind": "image", "mean": []}}}',
        '{"labels": [""]}',
        '{"unheard": 1}',
        '{"inputs": {"x": {"kind": "text", "split": "words", "vocabulary_file": "missing.txt"}}}',
    ],
)
def test_a_card_that_makes_no_sense_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "m.card.json"
    file.write_text(text)
    with pytest.raises(PreparationError):
        read_card(file)


def test_a_missing_card_is_an_error_of_its_own(tmp_path: Path) -> None:
    with pytest.raises(PreparationError, match="cannot read"):
        read_card(tmp_path / "none.card.json")


def test_no_card_names_classes_by_their_numbers() -> None:
    assert Card().label(7) == "7"
