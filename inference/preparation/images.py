"""A picture to the array that a model takes."""

import warnings
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from inference.preparation.card import Colors, Fit, ImageInput
from inference.preparation.errors import PreparationError

PIXELS_MAX: Final = 64 * 1024 * 1024
"""Largest picture that is decoded."""

SUFFIXES: Final = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_FORMATS: Final = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
_CHANNELS: Final = {Colors.RGB: 3, Colors.BGR: 3, Colors.GRAY: 1}

Shape = tuple[int, ...]


def read_image(file: Path, how: ImageInput, shape: Shape) -> NDArray[np.float32]:
    """The picture in `file` as [1, channels, height, width], or channels last, as `shape` has it.

    Turned as its EXIF data say; transparency is ignored. Raises PreparationError.
    """
    first, height, width = _layout(how, shape)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            opening = Image.open(file, formats=_FORMATS)
        with opening as opened:
            if opened.width * opened.height > PIXELS_MAX:
                raise Image.DecompressionBombError
            turned = _of_bytes(ImageOps.exif_transpose(opened), file)
            picture = turned.convert("L" if how.colors is Colors.GRAY else "RGB")
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise PreparationError(f"cannot read {file}: {error.strerror}", "check the path") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise PreparationError(f"{file} has more than {PIXELS_MAX} pixels", "make it smaller") from None
    except UnidentifiedImageError:
        raise PreparationError(f"{file} is no picture", f"take one of {', '.join(_FORMATS)}") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise PreparationError(f"{file} is no whole picture: {error}", "save it again") from None
    levels = _fitted(picture, how.fit, width, height)
    levels = levels[:, :, None] if levels.ndim == 2 else levels
    if how.colors is Colors.BGR:
        levels = levels[:, :, ::-1]
    values = (levels.astype(np.float32) - np.array(how.mean, np.float32)) / np.array(
        how.deviation, np.float32
    )
    whole = np.zeros((height, width, values.shape[2]), dtype=np.float32)
    whole[: values.shape[0], : values.shape[1]] = values
    return (np.moveaxis(whole, 2, 0) if first else whole)[None]


def _of_bytes(picture: Image.Image, file: Path) -> Image.Image:
    """The picture with levels 0..255: of 16 bits, which Pillow would cut off at 255, the upper eight."""
    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.mode in ("I", "F"):
        raise PreparationError(
            f"{file} has levels that are not of 8 or 16 bits", "save it with 8 bits for each color"
        )
    return picture


def is_image_shape(shape: Shape) -> bool:
    """Whether an input of that shape takes pictures, by the look of it."""
    return len(shape) == 4 and shape[0] == 1 and (shape[1] in (1, 3) or shape[3] in (1, 3))


def _layout(how: ImageInput, shape: Shape) -> tuple[bool, int, int]:
    """Whether channels come first, height and width."""
    channels = _CHANNELS[how.colors]
    for levels in (how.mean, how.deviation):
        if len(levels) not in (1, channels):
            raise PreparationError(
                f"the card gives {len(levels)} levels for {channels} channels",
                "give one, or one for each channel",
            )
    if 0 in how.deviation:
        raise PreparationError("the card divides by zero", "correct the deviation in the card")
    if len(shape) == 4 and shape[0] == 1 and shape[1] == channels:
        return True, shape[2], shape[3]
    if len(shape) == 4 and shape[0] == 1 and shape[3] == channels:
        return False, shape[1], shape[2]
    raise PreparationError(
        f"the model takes {list(shape)}, no {how.colors} picture",
        "correct the kind or the colors in the card",
    )


def _fitted(picture: Image.Image, fit: Fit, width: int, height: int) -> NDArray[np.uint8]:
    """The levels of the picture, no larger than width x height."""
    ratios = width / picture.width, height / picture.height
    ratio = {Fit.STRETCH: None, Fit.CROP: max(ratios), Fit.PAD: min(ratios)}[fit]
    size = width, height
    if ratio is not None:
        size = max(1, round(picture.width * ratio)), max(1, round(picture.height * ratio))
    levels = np.asarray(picture.resize(size, Image.Resampling.BILINEAR))
    top, left = max(0, levels.shape[0] - height) // 2, max(0, levels.shape[1] - width) // 2
    return levels[top : top + height, left : left + width]
