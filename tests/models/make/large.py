"""Models of over 1 MB, for benchmarks: made beside the others, never committed."""

import random
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, Final

import numpy as np
import onnxruntime
import torch
import torchvision
from PIL import Image
from sklearn.linear_model import LogisticRegression
from torch import nn

from tests.models.load import Task, choices
from tests.models.make import attention, text_direction, torch_export
from tests.models.make.images import Digits
from tests.models.make.record import CC_BY, Array, Data, Made
from tests.models.make.tables import DIGITS
from tests.models.make.text import FILES, FONTS, FONTS_LICENCE, colour, line, phrase
from tests.models.make.text_direction import entry

TILE: Final = 56
"""Rows of the images that are learned from; of full size it would take sixteen times as long."""
TILES: Final = 4
"""A full image, of 224 rows, is a sheet of 4 x 4 such images of one class."""
UNUSED: Final = -30.0
"""Bias of the classes that no image has."""
PAGE: Final = 320
SAMPLES: Final = 32
HELD_OUT: Final = 64
SEED: Final = 17


def make() -> Iterator[Made]:
    """Two torchvision networks, a BERT of four layers, and the other models of the PP-OCR package."""
    models = torchvision.models
    yield network(
        "mobilenet_v2_full",
        "MobileNetV2: 0.3 billion multiply-adds",
        models.mobilenet_v2,
        finish=learn,
        train=400,
        held_out=256,
    )
    yield network(
        "resnet18",
        "ResNet18 of torchvision: 1.8 billion multiply-adds",
        models.resnet18,
        finish=tune,
        train=200,
        held_out=HELD_OUT,
    )
    yield attention.bert("bert_large", hidden=128, layers=4, epochs=2, large=True)
    yield detection()
    yield recognition()


Finish = Callable[[nn.Module, Array, Array], None]
"""Fits a network that has learned from small images to some of full size, and their labels."""


def network(name: str, summary: str, build: Any, *, finish: Finish, train: int, held_out: int) -> Made:
    """A network of torchvision, trained on digits, then on `train` sheets of them; 10 classes are used."""
    torch_export.seed(SEED)
    digits, source = Digits(side=TILE), np.random.default_rng(SEED)
    entry = nn.Sequential(Colours(), build())
    trained = torch_export.fit(entry, [digits.reals(digits.train)], digits.train_labels, epochs=5, rate=2e-3)
    full = sheets(digits.train, digits.train_labels, train, source)
    images = digits.reals(full.inputs["image"])
    finish(trained, images, full.labels)
    return Made(
        name=name,
        task=Task.CLASSIFY,
        summary=summary,
        model=torch_export.export(trained, {"image": images}),
        output="scores",
        samples=full.take(SAMPLES),
        held_out=sheets(digits.test, digits.test_labels, held_out, source),
        exporter=torch_export.TORCHSCRIPT,
        packages=("torch", "torchvision", "scikit-learn", "onnx"),
        data=f"{DIGITS}, sixteen to a sheet",
        data_licence=CC_BY,
        scales={"image": digits.scale},
        large=True,
    )


def sheets(images: Array, labels: Array, count: int, source: np.random.Generator) -> Data:
    """Sheets of images of one class each, chosen at random."""
    classes = source.integers(0, 10, count)
    chosen = [images[source.choice(np.flatnonzero(labels == each), TILES * TILES), 0] for each in classes]
    grids = np.stack(chosen).reshape(count, TILES, TILES, TILE, TILE).transpose(0, 1, 3, 2, 4)
    return Data(inputs={"image": grids.reshape(count, 1, TILES * TILE, TILES * TILE)}, labels=classes)


def learn(network: nn.Module, images: Array, labels: Array) -> None:
    """Train on: what it takes for scores that are not near ties."""
    torch_export.fit(network, [images], labels, epochs=2, rate=1e-3, batch=16)


def tune(network: nn.Module, images: Array, labels: Array) -> None:
    """Fit what needs no gradients, where those take long: means and variances, then the last layer."""
    seen: list[Any] = []
    head = [each for each in network.modules() if isinstance(each, nn.Linear)][-1]
    batches = torch.from_numpy(images).split(16)
    norms = [each for each in network.modules() if isinstance(each, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over every batch
        norm.train()
    with torch.no_grad():
        for batch in batches:
            network(batch)
        network.eval()
        hook = head.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
        for batch in batches:
            network(batch)
        hook.remove()
        fitted = LogisticRegression(max_iter=300).fit(torch.cat(seen).numpy(), labels)
        head.bias.fill_(UNUSED)
        head.weight[: len(fitted.classes_)] = torch.from_numpy(fitted.coef_)
        head.bias[: len(fitted.classes_)] = torch.from_numpy(fitted.intercept_)


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
