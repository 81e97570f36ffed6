"""A segmentation network: which pixels of a cluttered image belong to a digit."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, Final

import numpy as np
import torch
from torch import nn

from tests.models.load import Task
from tests.models.make import torch_export
from tests.models.make.images import Digits, convolution
from tests.models.make.record import CC_BY, Array, Data, Made
from tests.models.make.tables import DIGITS

SIDE: Final = 32
DIGIT: Final = 20
TRAIN: Final = 1200
SAMPLES: Final = 120
HELD_OUT: Final = 150
SEED: Final = 9


def make() -> Iterator[Made]:
    """The one network."""
    torch_export.seed(SEED)
    digits = Digits(side=DIGIT)
    source = np.random.default_rng(SEED)
    train, test = scenes(digits.train, TRAIN, source), scenes(digits.test, HELD_OUT, source)
    inputs = digits.reals(train.inputs["image"])
    network = torch_export.fit(UNet(), [inputs], train.labels.astype(np.int64), epochs=10, batch=32)
    yield Made(
        name="unet",
        task=Task.MASK,
        summary="U-Net: ConvTranspose, nearest Resize, Concat; which pixels belong to a digit?",
        model=torch_export.export(network, {"image": inputs}),
        output="scores",
        samples=train.take(SAMPLES),
        held_out=test,
        exporter=torch_export.TORCHSCRIPT,
        packages=("torch", "scikit-learn", "onnx"),
        data=f"{DIGITS}, drawn over a noisy slope with bars",
        data_licence=CC_BY,
        scales={"image": Fraction(1, 255)},
    )


def scenes(digits: Array, count: int, source: np.random.Generator) -> Data:
    """Images of one or two digits each, and the masks of the digits' own pixels."""
    images, masks = zip(*(scene(digits, source) for _ in range(count)), strict=True)
    return Data(inputs={"image": np.stack(images)[:, None]}, labels=np.stack(masks))


def scene(digits: Array, source: np.random.Generator) -> tuple[Array, Array]:
    """A dim slope with a bright bar and noise, digits upon it: uint8[32, 32] each."""
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    canvas = 20 + 60 * source.random() * rows + 60 * source.random() * columns
    bar = source.integers(0, SIDE - 3)
    if source.random() < 0.5:
        canvas[bar : bar + 3] += 90
    else:
        canvas[:, bar : bar + 3] += 90
    mask = np.zeros((SIDE, SIDE), np.uint8)
    for _ in range(int(source.integers(1, 3))):
        digit = digits[source.integers(len(digits)), 0].astype(np.float64)
        top, left = source.integers(0, SIDE - DIGIT + 1, 2)
        part = np.s_[top : top + DIGIT, left : left + DIGIT]
        canvas[part] = np.maximum(canvas[part], digit * source.uniform(0.7, 1.0))
        mask[part] |= (digit > 127).astype(np.uint8)
    noise = source.normal(0, 6, canvas.shape)
    return (canvas + noise).round().clip(0, 255).astype(np.uint8), mask


def twice(inner: int, outer: int) -> nn.Sequential:
    """Two convolutions with BatchNorm and Relu."""
    return nn.Sequential(convolution(inner, outer, 3), nn.ReLU(), convolution(outer, outer, 3), nn.ReLU())


class UNet(nn.Module):
    """Down twice and up twice: once by ConvTranspose, once by repeating pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.deep = twice(1, 12), twice(12, 24), twice(24, 48)
        self.down = nn.MaxPool2d(2)
        self.up = nn.ConvTranspose2d(48, 24, 2, stride=2)
        self.joined = twice(48, 24)
        self.repeat = nn.Upsample(scale_factor=2, mode="nearest")
        self.last = twice(36, 12)
        self.head = nn.Conv2d(12, 2, 1)

    def forward(self, image: Any) -> Any:
        first = self.first(image)
        second = self.second(self.down(first))
        deep = self.deep(self.down(second))
        joined = self.joined(torch.cat([self.up(deep), second], 1))
        return self.head(self.last(torch.cat([self.repeat(joined), first], 1)))
