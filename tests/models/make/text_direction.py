"""The text-direction classifier of PP-OCR, as a package of the Python index ships it, on rendered text."""

import random
from collections.abc import Iterator
from fractions import Fraction
from importlib.metadata import files
from typing import Final

import numpy as np
from PIL import Image

from tests.models.load import Task
from tests.models.make.record import Array, Data, Made
from tests.models.make.text import FILES, FONTS, FONTS_LICENCE, line, noisy, phrase

PACKAGE: Final = "rapidocr-onnxruntime"
MODEL: Final = "ch_ppocr_mobile_v2.0_cls_infer.onnx"
LICENCE: Final = "Apache-2.0, Copyright 2020 PaddlePaddle Authors"
EXPORTER: Final = "paddle2onnx, by the authors of the package"
HEIGHT: Final = 48
WIDTH: Final = 192
SAMPLES: Final = 48
HELD_OUT: Final = 180
SEED: Final = 11


def make() -> Iterator[Made]:
    """The one model."""
    yield Made(
        name="text_direction",
        task=Task.CLASSIFY,
        summary="PP-OCR text direction (MobileNetV3 of Paddle): is a line upright or turned by 180 degrees?",
        model=shipped(MODEL),
        output="save_infer_model/scale_0.tmp_1",
        samples=rendered(SAMPLES, SEED),
        held_out=rendered(HELD_OUT, SEED + 1),
        exporter=EXPORTER,
        packages=(PACKAGE, "pillow", "matplotlib"),
        licence=f"{LICENCE}; see LICENSE beside it",
        data=FONTS,
        data_licence=FONTS_LICENCE,
        scales={"x": Fraction(1, 255)},
    )


def shipped(name: str) -> bytes:
    """A model of the installed package."""
    return next(file for file in files(PACKAGE) or () if file.name == name).read_binary()


def rendered(count: int, seed: int) -> Data:
    """Lines of text, each once as it is and once turned: label 0 and 1."""
    chance, source = random.Random(seed), np.random.default_rng(seed)
    images: list[Array] = []
    for at in range(count // 2):
        text = phrase(chance, chance.randint(6, 26))
        image = line(chance, text, FILES[at % len(FILES)], chance.randint(14, 60))
        noise = source.uniform(1, 8) if at % 20 == 0 else 0.0
        turned = image.transpose(Image.Transpose.ROTATE_180)
        images += [entry(each, source, noise) for each in (image, turned)]
    return Data(inputs={"x": np.stack(images)}, labels=np.arange(count, dtype=np.int64) % 2)


def entry(image: Image.Image, source: np.random.Generator, noise: float, columns: int = WIDTH) -> Array:
    """What the model's own package makes of a line: 48 rows, grey (0) to the right of a short one.

    int16[3, 48, columns] in steps of 1/255: 2 * pixel - 255.
    """
    width = min(columns, -(-HEIGHT * image.width // image.height))
    pixels = noisy(image.resize((width, HEIGHT), Image.Resampling.BILINEAR), source, noise)
    padded = np.zeros((3, HEIGHT, columns), np.int16)
    padded[:, :, :width] = 2 * pixels.transpose(2, 0, 1).astype(np.int16) - 255
    return padded
