"""Images of text: words of Python's documentation in the fonts that matplotlib bundles."""

import random
import re
from functools import cache
from pathlib import Path
from pydoc_data.topics import topics
from typing import Final

import matplotlib as mpl
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from tests.models.make.record import Array

FONTS: Final = (
    "words of Python's documentation in the DejaVu, STIX and Computer Modern fonts bundled by matplotlib"
)
FONTS_LICENCE: Final = "PSF-2.0 (words), Bitstream Vera, STIX and Bakoma font licences (shapes)"

FILES: Final = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSansMono-Bold",
    "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic", "STIXGeneral", "STIXGeneralBol",
    "STIXGeneralItalic", "cmr10", "cmss10", "cmtt10",
)  # fmt: skip


@cache
def words() -> tuple[str, ...]:
    """The words of Python's reference, in the order of the text."""
    text = " ".join(topics[name] for name in sorted(topics))
    return tuple(re.findall(r"[A-Za-z][a-z]*[a-z.,;:()]+", text))


@cache
def font(name: str, size: int) -> ImageFont.FreeTypeFont:
    """One bundled font at a height in pixels."""
    return ImageFont.truetype(Path(mpl.get_data_path()) / f"fonts/ttf/{name}.ttf", size)


def phrase(chance: random.Random, letters_max: int) -> str:
    """Some words that follow one another, and now and then a number."""
    at = chance.randrange(len(words()) - 20)
    text = words()[at]
    for word in words()[at + 1 : at + chance.randint(1, 6)]:
        text = f"{text} {word}" if len(text) + len(word) < letters_max else text
    return f"{text} {chance.randint(0, 9999)}" if chance.random() < 0.25 else text


def line(chance: random.Random, text: str, face: str, size: int) -> Image.Image:
    """One line of text, cut out tightly as a text detector does, in two colours far enough apart."""
    letters = font(face, size)
    left, top, right, bottom = letters.getbbox(text)
    margin = chance.randint(1, max(1, size // 6))
    canvas = (int(right - left) + 2 * margin, int(bottom - top) + 2 * margin)
    dark, light = colour(chance, 0, 90), colour(chance, 165, 255)
    ink, paper = (light, dark) if chance.random() < 0.3 else (dark, light)
    image = Image.new("RGB", canvas, paper)
    ImageDraw.Draw(image).text((margin - left, margin - top), text, fill=ink, font=letters)
    return image


def colour(chance: random.Random, low: int, high: int) -> tuple[int, int, int]:
    """A colour, mostly a grey: the three channels of a grey are stored in the space of one."""
    grey = chance.randint(low, high)
    other = (grey, chance.randint(low, high), chance.randint(low, high))
    return other if chance.random() < 0.1 else (grey, grey, grey)


def noisy(image: Image.Image, source: np.random.Generator, strength: float) -> Array:
    """The image with some grey noise: uint8[row, column, 3]."""
    pixels = np.asarray(image, dtype=np.float64)
    return (pixels + source.normal(0, strength, (*pixels.shape[:2], 1))).round().clip(0, 255).astype(np.uint8)
