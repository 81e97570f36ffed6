"""A reader of lines of handwritten digits: one class, or nothing, for each step across the line."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final

import numpy as np
from torch import nn

from tests.models.load import Task
from tests.models.make import torch_export
from tests.models.make.images import Digits, convolution
from tests.models.make.record import CC_BY, Array, Data, Made
from tests.models.make.tables import DIGITS

HEIGHT: Final = 16
WIDTH: Final = 96
STEP: Final = 4
"""Columns of the image for each step of the answer."""
NOTHING: Final = 10
TRAIN: Final = 2400
SAMPLES: Final = 150
HELD_OUT: Final = 250
SEED: Final = 13


def make() -> Iterator[Made]:
    """The one reader."""
    torch_export.seed(SEED)
    digits = Digits(side=HEIGHT)
    source = np.random.default_rng(SEED)
    train = lines(digits.train, digits.train_labels, TRAIN, source)
    test = lines(digits.test, digits.test_labels, HELD_OUT, source)
    inputs = digits.reals(train.inputs["line"])
    network = torch_export.fit(Reader(), [inputs], train.labels, epochs=8, loss=per_step)
    yield Made(
        name="text_line",
        task=Task.SEQUENCE,
        summary="Line reader: convolutions, 1-D convolutions along the line, Softmax over classes per step",
        model=torch_export.export(nn.Sequential(network, nn.Softmax(dim=2)), {"line": inputs}),
        output="scores",
        samples=train.take(SAMPLES),
        held_out=test,
        exporter=torch_export.TORCHSCRIPT,
        packages=("torch", "scikit-learn", "onnx"),
        data=f"{DIGITS}, set side by side",
        data_licence=CC_BY,
        scales={"line": Fraction(1, 255)},
    )


def lines(digits: Array, labels: Array, count: int, source: np.random.Generator) -> Data:
    """Lines of three to six digits with gaps of changing width, and the digit at each step (10: none)."""
    images = np.zeros((count, 1, HEIGHT, WIDTH), np.uint8)
    steps = np.full((count, WIDTH // STEP), NOTHING, np.int64)
    for image, step in zip(images, steps, strict=True):
        at = int(source.integers(0, 12))
        while at + HEIGHT <= WIDTH:
            chosen = source.integers(len(digits))
            part = image[0, :, at : at + HEIGHT]
            np.maximum(part, digits[chosen, 0], out=part)
            middle = (at + HEIGHT // 2) // STEP
            step[middle - 1 : middle + 1] = labels[chosen]
            at += int(source.integers(HEIGHT - 2, 2 * HEIGHT))
    noise = source.normal(0, 8, images.shape)
    images = (images + noise).round().clip(0, 255).astype(np.uint8)
    return Data(inputs={"line": images}, labels=steps)


def per_step(scores: Any, labels: Any) -> Any:
    """For scores[sample, step, class]."""
    return torch_export.cross_entropy(scores.transpose(1, 2), labels)


class Reader(nn.Module):
    """Convolutions shrink the height to one and the width to the steps; then steps see their neighbours."""

    def __init__(self) -> None:
        super().__init__()
        self.image = nn.Sequential(
            convolution(1, 16, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            convolution(16, 32, 3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            convolution(32, 64, 3),
            nn.ReLU(),
            nn.Conv2d(64, 64, (4, 1)),
            nn.ReLU(),
        )
        self.line = nn.Sequential(
            nn.Conv1d(64, 64, 3, padding=1),
            nn.BatchNorm1d(64),
            nn.ReLU(),
            nn.Conv1d(64, 64, 5, padding=2),
            nn.ReLU(),
        )
        self.head = nn.Linear(64, NOTHING + 1)

    def forward(self, line: Any) -> Any:
        steps = self.line(self.image(line).squeeze(2))
        return self.head(steps.permute(0, 2, 1))
