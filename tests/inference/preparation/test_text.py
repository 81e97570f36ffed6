"""Text becomes the numbers of its tokens."""

import pytest
from msgspec.structs import replace

from inference.preparation.card import Split, TextInput
from inference.preparation.errors import PreparationError
from inference.preparation.text import encode_text

VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "un", "##afford", "##able", "a", "!", "cafe")
PIECES = TextInput(
    split=Split.WORDPIECE, vocabulary=VOCABULARY, lowercase=True, start="[CLS]", end="[SEP]", unknown="[UNK]"
)


def tokens(text: str, how: TextInput, length: int) -> list[int]:
    return [int(number) for number in encode_text(text, how, length).numbers]


def test_words_are_cut_into_the_longest_pieces() -> None:
    found = encode_text("Unaffordable Café!", PIECES, 10)
    assert found.numbers.tolist() == [2, 4, 5, 6, 9, 8, 3, 0, 0, 0]
    assert found.mask.tolist() == [1, 1, 1, 1, 1, 1, 1, 0, 0, 0]
    assert found.left_out == 0


def test_a_word_with_an_unknown_part_is_unknown_as_a_whole() -> None:
    assert tokens("unkind a", PIECES, 5) == [2, 1, 7, 3, 0]


def test_a_word_of_more_than_a_hundred_characters_is_unknown() -> None:
    """Else it would be cut into pieces, which costs time that grows with its square."""
    letters = replace(PIECES, vocabulary=(*VOCABULARY, "##a"))
    assert tokens("a" * 100, letters, 102) == [2, 7, *[10] * 99, 3]
    assert tokens("a" * 101, letters, 102) == [2, 1, 3, *[0] * 99]


def test_what_is_too_long_is_cut_before_the_end_token() -> None:
    assert tokens("a a a a a", PIECES, 4) == [2, 7, 7, 3]
    assert encode_text("a a a a a", PIECES, 4).left_out == 3
    assert encode_text("a" * 10_000, TextInput(split=Split.BYTES), 4).left_out == 9_996


def test_bytes_need_no_vocabulary() -> None:
    assert tokens("hé", TextInput(split=Split.BYTES, padding=256), 5) == [104, 195, 169, 256, 256]


def test_characters_and_words() -> None:
    assert tokens("ba", TextInput(split=Split.CHARACTERS, vocabulary=("", "a", "b")), 3) == [2, 1, 0]
    assert tokens("b, a", TextInput(split=Split.WORDS, vocabulary=("", "a", "b", ",")), 3) == [2, 3, 1]


def test_without_an_unknown_token_such_text_is_an_error() -> None:
    with pytest.raises(PreparationError, match="no token 'c'"):
        tokens("c", TextInput(split=Split.CHARACTERS, vocabulary=("a",)), 3)


@pytest.mark.parametrize("how", [PIECES, TextInput(split=Split.BYTES)])
def test_text_without_a_token_and_text_that_is_none_are_refused(how: TextInput) -> None:
    with pytest.raises(PreparationError, match="the text is empty"):
        tokens("", how, 5)
    with pytest.raises(PreparationError, match="not UTF-8"):
        tokens("\udcff", how, 5)
    with pytest.raises(PreparationError, match="the text is empty"):
        tokens(" \n", PIECES, 5)


def test_emoji_are_letters_like_others() -> None:
    assert tokens("👩\u200d👦", TextInput(split=Split.BYTES), 12)[:4] == [240, 159, 145, 169]
    assert tokens("a 😀", PIECES, 5) == [2, 7, 1, 3, 0]


def test_text_is_bounded() -> None:
    with pytest.raises(PreparationError, match="characters"):
        tokens("a" * 1_000_001, PIECES, 3)
