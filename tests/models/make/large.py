"""Models of over 1 MB, for benchmarks: made beside the others, never committed."""

import random
from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final

import numpy as np
import onnxruntime
import torchvision
from PIL import Image
from torch import nn

from tests.models.load import Task, choices
from tests.models.make import attention, text_direction, torch_export
from tests.models.make.images import Digits
from tests.models.make.record import CC_BY, Array, Data, Made
from tests.models.make.tables import DIGITS
from tests.models.make.text import FILES, FONTS, FONTS_LICENCE, colour, line, phrase
from tests.models.make.text_direction import entry

SIDE: Final = 224
TRAIN_SIDE: Final = 64
"""Rows of the images that are learned from: the full size takes twelve times as long."""
TUNED: Final = 96
"""Images of full size that the statistics of BatchNorm and the last layer learn from in the end."""
PAGE: Final = 320
SAMPLES: Final = 32
HELD_OUT: Final = 64
SEED: Final = 17


def make() -> Iterator[Made]:
    """Two torchvision networks, a BERT of four layers, and the other models of the PP-OCR package."""
    yield network(
        "resnet18", "ResNet18 of torchvision: 1.8 billion multiply-adds", torchvision.models.resnet18
    )
    yield network(
        "mobilenet_v2_full", "MobileNetV2 of torchvision: 0.3 billion", torchvision.models.mobilenet_v2
    )
    yield attention.bert("bert_large", hidden=128, layers=4, epochs=2, large=True)
    yield detection()
    yield recognition()


def network(name: str, summary: str, build: Any) -> Made:
    """A network of torchvision, trained on digits in colour of 224 rows."""
    torch_export.seed(SEED)
    small, full = Digits(side=TRAIN_SIDE), Digits(side=SIDE)
    entry = nn.Sequential(Colours(), build(num_classes=10))
    trained = torch_export.fit(entry, [small.reals(small.train)], small.train_labels, epochs=4, rate=2e-3)
    few, labels = full.reals(full.train[:TUNED]), full.train_labels[:TUNED]
    tuned = torch_export.fit(trained, [few], labels, epochs=2, rate=5e-4, batch=16)
    train = Data(inputs={"image": full.train}, labels=full.train_labels)
    return Made(
        name=name,
        task=Task.CLASSIFY,
        summary=summary,
        model=torch_export.export(tuned, {"image": few}),
        output="scores",
        samples=train.take(SAMPLES),
        held_out=Data(inputs={"image": full.test}, labels=full.test_labels).take(HELD_OUT),
        exporter=torch_export.TORCHSCRIPT,
        packages=("torch", "torchvision", "scikit-learn", "onnx"),
        data=DIGITS,
        data_licence=CC_BY,
        scales={"image": full.scale},
        large=True,
    )


class Colours(nn.Module):
    """A grey image as three equal channels."""

    def forward(self, image: Any) -> Any:
        return image.expand(-1, 3, -1, -1)


def recognition() -> Made:
    """Lines of text; what is right is what the float model reads, for nobody knows the step of a letter."""
    inputs, held_out = (read(count, SEED + count) for count in (SAMPLES, HELD_OUT))
    return shipped(
        "text_recognition", Task.SEQUENCE, "softmax_11.tmp_0", "ch_PP-OCRv4_rec_infer.onnx", inputs, held_out
    )


def detection() -> Made:
    """Pages of a few lines; what is right is what the float model marks."""
    inputs, held_out = (pages(count, SEED + count) for count in (SAMPLES, HELD_OUT))
    return shipped(
        "text_detection", Task.MASK, "sigmoid_0.tmp_0", "ch_PP-OCRv4_det_infer.onnx", inputs, held_out
    )


def read(count: int, seed: int) -> Array:
    """Lines of 48 x 320, as `text_direction` prepares them."""
    chance, source = random.Random(seed), np.random.default_rng(seed)
    faces = [FILES[at % len(FILES)] for at in range(count)]
    return np.stack([entry(line(chance, phrase(chance, 24), face, 32), source, 1.0, 320) for face in faces])


def pages(count: int, seed: int) -> Array:
    """Pages of 320 x 320 with up to six lines: int16 in steps of 1/255."""
    chance = random.Random(seed)
    drawn = np.zeros((count, 3, PAGE, PAGE), np.int16)
    for pixels in drawn:
        page = Image.new("RGB", (PAGE, PAGE), colour(chance, 120, 255))
        for top in range(8, PAGE - 48, 52)[: chance.randint(1, 6)]:
            text = line(chance, phrase(chance, 20), chance.choice(FILES), chance.randint(14, 30))
            page.paste(text, (chance.randint(0, 40), top))
        pixels[:] = 2 * np.asarray(page, np.int16).transpose(2, 0, 1) - 255
    return drawn


def shipped(name: str, task: Task, output: str, file: str, inputs: Array, held_out: Array) -> Made:
    """Another model of the package that ships the text-direction classifier."""
    model = text_direction.shipped(file)
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    reals = (held_out / 255).astype(np.float32)
    said = choices(task, [session.run([output], {"x": each[None]})[0] for each in reals])
    return Made(
        name=name,
        task=task,
        summary=f"PP-OCR {name.replace('_', ' ')}, from Paddle; the labels are what the float model says",
        model=model,
        output=output,
        samples=Data(inputs={"x": inputs}, labels=np.zeros((len(inputs), *said.shape[1:]), said.dtype)),
        held_out=Data(inputs={"x": held_out}, labels=said),
        exporter=text_direction.EXPORTER,
        packages=(text_direction.PACKAGE, "pillow", "matplotlib"),
        licence=text_direction.LICENCE,
        data=FONTS,
        data_licence=FONTS_LICENCE,
        scales={"x": Fraction(1, 255)},
        large=True,
    )
