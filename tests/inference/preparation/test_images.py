"""Pictures become the arrays that the card describes."""

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from inference.preparation.card import Colors, Fit, ImageInput
from inference.preparation.errors import PreparationError
from inference.preparation.images import is_image_shape, read_image


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """Four pixels wide, two high: left half red, right half blue."""
    levels = np.zeros((2, 4, 3), dtype=np.uint8)
    levels[:, :2, 0] = 255
    levels[:, 2:, 2] = 255
    Image.fromarray(levels).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_levels_in_the_order_of_channels(picture: Path) -> None:
    rgb = read_image(picture, ImageInput(), (1, 3, 2, 4))
    assert rgb.shape == (1, 3, 2, 4)
    assert rgb.dtype == np.float32
    assert rgb[0, :, 0, 0].tolist() == [1, 0, 0]
    assert rgb[0, :, 0, 3].tolist() == [0, 0, 1]
    bgr = read_image(picture, ImageInput(colors=Colors.BGR), (1, 2, 4, 3))
    assert bgr[0, 0, 0].tolist() == [0, 0, 1]


def test_mean_and_deviation_for_each_channel(picture: Path) -> None:
    how = ImageInput(mean=(255.0, 0.0, 0.0), deviation=(5.0, 1.0, 51.0))
    assert read_image(picture, how, (1, 3, 2, 4))[0, :, 0, 3].tolist() == [-51, 0, 5]


def test_gray(picture: Path) -> None:
    gray = read_image(picture, ImageInput(colors=Colors.GRAY, deviation=(1.0,)), (1, 1, 2, 4))
    assert gray[0, 0, 0].tolist() == [76, 76, 29, 29]


def test_a_picture_that_is_not_there_is_no_picture_of_another_kind(tmp_path: Path) -> None:
    for place, reason in ((tmp_path / "none.png", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(PreparationError, match=f"cannot read .*{reason}"):
            read_image(place, ImageInput(), (1, 3, 2, 2))


def test_padding_is_zero_for_the_model_not_black(picture: Path) -> None:
    how = ImageInput(fit=Fit.PAD, mean=(127.5,), deviation=(127.5,))
    padded = read_image(picture, how, (1, 3, 4, 4))
    assert (padded[:, :, 2:] == 0).all()
    assert padded[0, :, 1, 0].tolist() == [1, -1, -1]


def test_cropping_takes_the_middle(picture: Path) -> None:
    cropped = read_image(picture, ImageInput(fit=Fit.CROP), (1, 3, 2, 2))
    assert cropped[0, :, 0, 0].tolist() == [1, 0, 0]
    assert cropped[0, :, 0, 1].tolist() == [0, 0, 1]


def test_cropping_takes_the_middle_of_the_height_as_well(tmp_path: Path) -> None:
    rows = np.repeat(np.array([10, 20, 30, 40], np.uint8)[:, None], 2, axis=1)
    Image.fromarray(rows).save(tmp_path / "tall.png")
    how = ImageInput(colors=Colors.GRAY, fit=Fit.CROP, deviation=(1.0,))
    assert read_image(tmp_path / "tall.png", how, (1, 1, 2, 2)).tolist() == [[[[20, 20], [30, 30]]]]


def test_a_picture_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = (
        6  # the top row of what is to be seen is the left column of what is stored
    )
    Image.fromarray(np.array([[1, 2], [3, 4], [5, 6]], np.uint8)).save(tmp_path / "p.png", exif=turned)
    read = read_image(tmp_path / "p.png", ImageInput(colors=Colors.GRAY, deviation=(1.0,)), (1, 1, 2, 3))
    assert read.tolist() == [[[[5, 3, 1], [6, 4, 2]]]]


@pytest.mark.parametrize(
    ("how", "shape"),
    [
        (ImageInput(), (1, 1, 2, 4)),
        (ImageInput(), (2, 3, 2, 4)),
        (ImageInput(), (1, 30)),
        (ImageInput(mean=(1.0, 2.0)), (1, 3, 2, 4)),
        (ImageInput(deviation=(0.0,)), (1, 3, 2, 4)),
    ],
)
def test_a_card_that_does_not_fit_the_model_is_refused(
    picture: Path, how: ImageInput, shape: tuple[int, ...]
) -> None:
    with pytest.raises(PreparationError, match=r"card|model takes"):
        read_image(picture, how, shape)


def test_what_is_no_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(PreparationError, match="no picture"):
        read_image(tmp_path / "a.png", ImageInput(), (1, 3, 2, 4))


@pytest.mark.parametrize("side", [9_000, 11_000, 60_000])
def test_a_picture_of_too_many_pixels_is_not_decoded(tmp_path: Path, side: int) -> None:
    """Pillow has limits of its own: it warns of the second, and refuses the third."""
    small = io.BytesIO()
    Image.new("L", (1, 1)).save(small, "PNG")
    header = b"IHDR" + struct.pack(">II", side, side) + small.getvalue()[24:29]
    (tmp_path / "bomb.png").write_bytes(
        small.getvalue()[:12] + header + struct.pack(">I", zlib.crc32(header)) + small.getvalue()[33:]
    )
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with pytest.raises(PreparationError, match=r"bomb\.png has more than 67108864 pixels"):
            read_image(tmp_path / "bomb.png", ImageInput(), (1, 3, 2, 4))
    assert warned == []


@pytest.mark.parametrize("mode", ["1", "CMYK", "L", "LA", "P", "RGBA"])
def test_pictures_of_every_kind_become_the_same(tmp_path: Path, mode: str) -> None:
    picture = Image.new("L", (3, 5), 255)
    picture.convert(mode).save(tmp_path / "p.tif")
    read = read_image(tmp_path / "p.tif", ImageInput(), (1, 3, 2, 2))
    assert (read == 1).all()


def test_a_picture_of_one_pixel_is_enlarged_and_one_that_is_cut_short_refused(tmp_path: Path) -> None:
    Image.new("RGB", (1, 1), "white").save(tmp_path / "p.jpg")
    assert (read_image(tmp_path / "p.jpg", ImageInput(), (1, 3, 4, 4)) == 1).all()
    Image.effect_noise((64, 64), 50).save(tmp_path / "p.jpg")
    whole = (tmp_path / "p.jpg").read_bytes()
    (tmp_path / "p.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PreparationError, match="is no whole picture: image file is truncated"):
        read_image(tmp_path / "p.jpg", ImageInput(), (1, 3, 4, 4))


def test_which_inputs_look_like_pictures() -> None:
    assert is_image_shape((1, 3, 48, 192))
    assert is_image_shape((1, 8, 8, 1))
    assert not is_image_shape((1, 30))
    assert not is_image_shape((2, 3, 8, 8))


def test_sixteen_bits_are_not_cut_off(tmp_path: Path) -> None:
    levels = np.array([[0, 1000], [30_000, 65_535]], np.uint16)
    Image.fromarray(levels).save(tmp_path / "p.png")
    read = read_image(tmp_path / "p.png", ImageInput(colors=Colors.GRAY, deviation=(1.0,)), (1, 1, 2, 2))
    assert read.tolist() == [[[[0, 3], [117, 255]]]]


def test_other_levels_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.ones((2, 2), np.float32)).save(tmp_path / "p.tif")
    with pytest.raises(PreparationError, match="8 or 16 bits"):
        read_image(tmp_path / "p.tif", ImageInput(colors=Colors.GRAY), (1, 1, 2, 2))
