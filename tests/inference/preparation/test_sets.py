"""Sets of samples from archives, tables and folders; what does not fit the model is refused."""

from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.preparation.card import Card, Colors, ImageInput, MaskInput, Split, TableInput, TextInput
from inference.preparation.errors import PreparationError
from inference.preparation.sets import Taken, kept_apart, read_set, read_text, remembered

ROW = [Taken("x", "float32", (1, 2))]
PICTURE = [Taken("x", "float32", (1, 1, 2, 2))]
TOKENS = [Taken("ids", "int64", (1, 4)), Taken("mask", "int64", (1, 4))]
NO_CARD = Card()
TEXT = Card(inputs={"ids": TextInput(split=Split.BYTES), "mask": MaskInput(of="ids")})
GRAY = Card(inputs={"x": ImageInput(colors=Colors.GRAY, deviation=(1.0,))})


def test_an_archive_of_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", x=np.arange(6.0).reshape(3, 2), labels=np.array([1, 0, 1]))
    found = read_set(tmp_path / "s.npz", ROW, NO_CARD)
    assert [sample["x"].tolist() for sample in found.samples] == [[[0, 1]], [[2, 3]], [[4, 5]]]
    assert found.samples[0]["x"].dtype == np.float32
    assert found.labels == ("1", "0", "1")


def test_a_single_array_may_have_any_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", pixels=np.ones((3, 1, 2)))
    assert len(read_set(tmp_path / "s.npz", ROW, NO_CARD).samples) == 3


@pytest.mark.parametrize(
    "arrays",
    [
        {"x": np.ones((3, 5))},
        {"x": np.array(5.0)},
        {"x": np.array([[1.0, np.nan]])},
        {"x": np.array([["a", "b"]])},
        {"x": np.ones((3, 2)), "labels": np.ones(2)},
        {"y": np.ones((3, 2))},
        {"x": np.ones((0, 2))},
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray]) -> None:
    np.savez(tmp_path / "s.npz", **arrays)  # type: ignore[arg-type]  # the stub lists a flag among the arrays
    with pytest.raises(PreparationError):
        read_set(tmp_path / "s.npz", ROW, NO_CARD)


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"x": np.ones((3, 2)), "labels": np.float32(1)}, "1 labels for 3 samples"),
        ({"x": np.array([[1, 2], [3, np.nan]])}, "values that are no numbers, the first in row 2"),
        ({"x": np.array([["a", "b"]])}, "x is <U1, no real numbers"),
        ({"x": np.full((3, 2), 1e300)}, "x has values too large for float32"),
        ({"labels": np.ones(3)}, "has no array 'x'"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path: Path, arrays: dict[str, np.ndarray], reason: str) -> None:
    np.savez(tmp_path / "s.npz", **arrays)  # type: ignore[arg-type]  # the stub lists a flag among the arrays
    with pytest.raises(PreparationError, match=reason):
        read_set(tmp_path / "s.npz", ROW, NO_CARD)


@pytest.mark.parametrize("name", ["s.csv", "s.npz", "s.png"])
def test_a_file_that_is_not_there_is_said_to_be_absent(tmp_path: Path, name: str) -> None:
    with pytest.raises(PreparationError, match="there is no such file") as refused:
        read_set(tmp_path / name, ROW, NO_CARD)
    assert refused.value.advice == "check the path"


def test_a_table_without_names_and_one_that_ends_in_blank_lines(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("0,1,label\n5.1,3,0\n\n\n")
    assert [sample["x"].tolist() for sample in read_set(tmp_path / "s.csv", ROW, NO_CARD).samples] == [
        [[np.float32(5.1), 3]]
    ]
    (tmp_path / "s.csv").write_text("0,1\n5.1,3\n")
    assert len(read_set(tmp_path / "s.csv", ROW, NO_CARD).samples) == 1


def test_labels_that_are_arrays_are_json(tmp_path: Path) -> None:
    labels = np.array([[[0.1, 2.0]], [[-3.0, 1e-7]]])
    np.savez(tmp_path / "s.npz", x=np.ones((2, 2)), labels=labels)
    found = read_set(tmp_path / "s.npz", ROW, NO_CARD)
    assert found.labels == ("[[0.1, 2.0]]", "[[-3.0, 1e-07]]")


def test_a_table_leaves_labels_out_and_takes_columns_by_name(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("b,label,a\n1,yes,2\n3,no,4.5\n")
    found = read_set(tmp_path / "s.csv", ROW, NO_CARD)
    assert [sample["x"].tolist() for sample in found.samples] == [[[1, 2]], [[3, 4.5]]]
    assert found.labels == ("yes", "no")
    assert found.names == ("line 2", "line 3")
    ordered = read_set(tmp_path / "s.csv", ROW, Card(inputs={"x": TableInput(columns=("a", "b"))}))
    assert ordered.samples[1]["x"].tolist() == [[4.5, 3]]


@pytest.mark.parametrize(
    "text", ["", "a,a\n1,2\n", "a,b\n1\n", "a,b\n1,x\n", "a,b\n1,inf\n", "a\n1\n", "a,b\n"]
)
def test_tables_that_do_not_fit_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(PreparationError):
        read_set(tmp_path / "s.csv", ROW, NO_CARD)


def test_a_folder_of_pictures_for_each_class(tmp_path: Path) -> None:
    for name, level in (("b/1.png", 7), ("a/2.png", 9), ("a/1.png", 8)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("L", (2, 2), level).save(tmp_path / name)
    (tmp_path / "a" / "notes.md").write_text("not a sample")
    found = read_set(tmp_path, PICTURE, GRAY)
    assert [sample["x"].max() for sample in found.samples] == [8, 9, 7]
    assert found.labels == ("a", "a", "b")
    assert found.names == ("a/1.png", "a/2.png", "b/1.png")


def test_files_come_in_order_of_name_whatever_the_disk_says(tmp_path: Path) -> None:
    """Else calibration, which keeps every fifth apart, would differ from machine to machine."""
    names = [f"{folder:02}/{file:02}.txt" for folder in range(12) for file in range(12)]
    for name in sorted(names, key=lambda name: sha256(name.encode()).digest()):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    found = read_set(tmp_path, TOKENS, TEXT)
    assert found.names == tuple(names)
    assert found.labels == tuple(name[:2] for name in names)


def test_names_of_columns_may_have_spaces_around_and_missing_ones_are_listed(tmp_path: Path) -> None:
    card = Card(inputs={"x": TableInput(columns=("a", "b c"))})
    (tmp_path / "s.csv").write_text("b c , a\n1, 2\n")
    assert read_set(tmp_path / "s.csv", ROW, card).samples[0]["x"].tolist() == [[2, 1]]
    (tmp_path / "s.csv").write_text("B,A\n1,2\n")
    with pytest.raises(PreparationError, match="has no column 'a', only B, A"):
        read_set(tmp_path / "s.csv", ROW, card)
    (tmp_path / "s.csv").write_text("a,b c\n1, \n")
    with pytest.raises(PreparationError, match="line 2: nothing in column 'b c', not a number"):
        read_set(tmp_path / "s.csv", ROW, card)


def test_pictures_without_a_card_are_refused_with_what_to_write(tmp_path: Path) -> None:
    Image.new("L", (2, 2)).save(tmp_path / "1.png")
    with pytest.raises(PreparationError) as caught:
        read_set(tmp_path, PICTURE, NO_CARD)
    assert '"kind": "image"' in caught.value.advice


def test_texts_from_files_and_from_a_column(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hi")
    found = read_set(tmp_path, TOKENS, TEXT)
    assert found.samples[0]["ids"].tolist() == [[104, 105, 0, 0]]
    assert found.samples[0]["mask"].tolist() == [[1, 1, 0, 0]]
    (tmp_path / "s.csv").write_text("text,label\nhi,greeting\n")
    assert read_set(tmp_path / "s.csv", TOKENS, TEXT).labels == ("greeting",)
    assert (read_text("hi", TOKENS, TEXT)[0]["ids"] == found.samples[0]["ids"]).all()


def test_a_text_that_cannot_be_used_is_named_and_those_cut_off_are_counted(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text('text\nhi\n"much longer"\nlonger\n')
    assert read_set(tmp_path / "s.csv", TOKENS, TEXT).shortened == 2
    (tmp_path / "s.csv").write_text('text\nhi\n""\n')
    with pytest.raises(PreparationError, match=r"s\.csv, line 3: the text is empty"):
        read_set(tmp_path / "s.csv", TOKENS, TEXT)
    (tmp_path / "a.txt").write_text("hi", encoding="utf-8-sig")
    (tmp_path / "b.txt").write_text("longer")
    found = read_set(tmp_path, TOKENS, TEXT)
    assert found.samples[0]["ids"].tolist() == [[104, 105, 0, 0]]
    assert found.shortened == 1
    (tmp_path / "c.txt").write_text("")
    with pytest.raises(PreparationError, match=r"c\.txt: the text is empty"):
        read_set(tmp_path, TOKENS, TEXT)


def test_a_card_about_another_input_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", x=np.ones((3, 2)))
    with pytest.raises(PreparationError, match="describes the input 'ids', and the model takes x"):
        read_set(tmp_path / "s.npz", ROW, TEXT)


def test_text_for_a_model_without_a_card_is_refused() -> None:
    with pytest.raises(PreparationError, match="ids"):
        read_text("hi", TOKENS, NO_CARD)


def test_every_fifth_sample_is_kept_apart(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", x=np.arange(20.0).reshape(10, 2))
    seen, unseen = kept_apart(read_set(tmp_path / "s.npz", ROW, NO_CARD))
    assert seen.names == tuple(f"row {number}" for number in (1, 2, 3, 4, 6, 7, 8, 9))
    assert [sample["x"].tolist() for sample in unseen.samples] == [[[8, 9]], [[18, 19]]]
    assert unseen.names == ("row 5", "row 10")


def test_hidden_files_are_no_samples_and_a_picture_beside_classes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cat").mkdir()
    (tmp_path / ".cache").mkdir()
    for name in ("cat/1.png", "cat/2.png", ".cache/3.png"):
        Image.new("L", (2, 2)).save(tmp_path / name)
    for name in ("._1.png", "cat/._1.png", "cat/notes.md", "README"):
        (tmp_path / name).write_text("no picture")
    assert read_set(tmp_path, PICTURE, GRAY).labels == ("cat", "cat")
    Image.new("L", (2, 2)).save(tmp_path / "stray.png")
    with pytest.raises(PreparationError, match=r"stray\.png lies beside folders of classes"):
        read_set(tmp_path, PICTURE, GRAY)


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PreparationError, match="no samples"):
        read_set(tmp_path, PICTURE, GRAY)


def test_a_model_for_batches_only_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", x=np.ones((16, 2)))
    with pytest.raises(PreparationError, match="batches of 8") as refused:
        read_set(tmp_path / "s.npz", [Taken("x", "float32", (8, 2))], NO_CARD)
    assert "batch of 1" in refused.value.advice


def test_a_cell_that_is_no_number_is_named_with_its_column(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("age,city\n31,oslo\n")
    with pytest.raises(PreparationError, match="line 2: 'oslo' in column 'city'"):
        read_set(tmp_path / "s.csv", ROW, NO_CARD)


def test_columns_of_a_table_are_remembered_by_name(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("\ufeffage,height,label\n31,170,1\n")
    card = remembered(NO_CARD, tmp_path / "s.csv", ROW)
    assert card.inputs == {"x": TableInput(columns=("age", "height"))}
    assert remembered(TEXT, tmp_path / "s.csv", ROW) is TEXT
    assert remembered(NO_CARD, tmp_path / "s.npz", ROW) is NO_CARD
    (tmp_path / "t.csv").write_text("id,height,age\n7,170,31\n")
    [sample] = read_set(tmp_path / "t.csv", ROW, card).samples
    assert sample["x"].tolist() == [[31, 170]]
    (tmp_path / "t.csv").write_text("age,weight\n31,70\n")
    with pytest.raises(PreparationError, match="no column 'height'"):
        read_set(tmp_path / "t.csv", ROW, card)


def test_columns_without_names_are_not_remembered(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text(",height\n31,170\n")
    assert remembered(NO_CARD, tmp_path / "s.csv", ROW) is NO_CARD


def test_several_inputs_take_the_columns_of_their_names(tmp_path: Path) -> None:
    inputs = [Taken("height", "float32", (1, 1)), Taken("age", "int64", (1, 1))]
    (tmp_path / "s.csv").write_text("age,height,label\n31,170.5,1\n")
    [sample] = read_set(tmp_path / "s.csv", inputs, NO_CARD).samples
    assert (sample["height"].tolist(), sample["age"].tolist()) == ([[170.5]], [[31]])


@pytest.mark.parametrize(
    ("text", "reason", "advice"),
    [
        ("a,b,target\n1,2,3\n", "x takes 2 numbers.*a, b, target", "'label', or name the columns in a card"),
        ("a;b\n1;2\n", "has one column, 'a;b'", "by commas"),
        ("5.1,3,0\n4.9,3.5,1\n", "begins with '5.1,3,0', which names nothing", "the names of the columns"),
        ("\na,b\n1,2\n", "which names nothing", "the names of the columns"),
        ("", "holds no samples", "a line with names"),
        ("a,b\n", "holds no samples", "a line with names"),
        ("a,b\n\n1,2\n", "line 2: 0 columns, not 2", "correct it"),
    ],
)
def test_tables_of_another_make_are_refused(tmp_path: Path, text: str, reason: str, advice: str) -> None:
    (tmp_path / "s.csv").write_text(text)
    with pytest.raises(PreparationError, match=reason) as refused:
        read_set(tmp_path / "s.csv", ROW, NO_CARD)
    assert advice in refused.value.advice
