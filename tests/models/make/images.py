"""Convolutional classifiers of handwritten digits, trained by PyTorch."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

from tests.models.load import Task
from tests.models.make import torch_export
from tests.models.make.record import CC_BY, Array, Data, Made
from tests.models.make.tables import DIGITS

SAMPLES: Final = 200
SEED: Final = 7
SIDE: Final = 32


def make() -> Iterator[Made]:
    """Every classifier of images."""
    small = Digits(side=8)
    yield small.made(
        "digits_cnn", "Two convolutions with BatchNorm, MaxPool, dropout and Gemm", digits_cnn, 30
    )
    large = Digits(side=SIDE)
    yield large.made("resnet", "Residual network: strided shortcuts, Add, global average", ResNet, 12)
    yield large.made("mobilenet_v2", "Inverted bottlenecks: depthwise convolutions, Relu6", MobileNetV2, 14)
    yield large.made("mobilenet_v3", "Hard-swish and squeeze-excite in inverted bottlenecks", MobileNetV3, 14)
    yield large.made(
        "silu_cnn",
        "SiLU, leaky Relu, groups, dilation, average pooling",
        silu_cnn,
        12,
        export=torch_export.export_dynamo,
    )


class Digits:
    """The digits as images of `side` rows: 8 as bundled (0 to 16), more when resized (0 to 255)."""

    def __init__(self, side: int) -> None:
        bundled = load_digits()
        pixels = bundled.images if side == 8 else np.stack([resized(image, side) for image in bundled.images])
        self.scale = Fraction(1, 16 if side == 8 else 255)
        parts = train_test_split(
            pixels.astype(np.uint8)[:, None],
            bundled.target.astype(np.int64),
            test_size=0.25,
            random_state=SEED,
            stratify=bundled.target,
        )
        self.train, self.test, self.train_labels, self.test_labels = parts

    def reals(self, pixels: Array) -> Array:
        """float32[sample, 1, row, column] from 0 to 1."""
        return (pixels * float(self.scale)).astype(np.float32)

    def made(
        self,
        name: str,
        summary: str,
        build: Callable[[], nn.Module],
        epochs: int,
        export: torch_export.Export = torch_export.export,
    ) -> Made:
        """The network, trained and exported, with its data."""
        torch_export.seed(SEED)
        inputs = self.reals(self.train)
        network = torch_export.fit(
            build(), [inputs], self.train_labels, epochs=epochs, vary=torch_export.shifted
        )
        return Made(
            name=name,
            task=Task.CLASSIFY,
            summary=summary,
            model=export(network, {"image": inputs}),
            output="scores",
            samples=Data(inputs={"image": self.train}, labels=self.train_labels).take(SAMPLES),
            held_out=Data(inputs={"image": self.test}, labels=self.test_labels),
            exporter=torch_export.DYNAMO
            if export is torch_export.export_dynamo
            else torch_export.TORCHSCRIPT,
            packages=("torch", "scikit-learn", "onnx"),
            data=DIGITS,
            data_licence=CC_BY,
            scales={"image": self.scale},
        )


def resized(image: Array, side: int) -> Array:
    """An image of 16 greys as one of 256, by bicubic interpolation."""
    grey = Image.fromarray((image * (255 / 16)).astype(np.uint8))
    return np.asarray(grey.resize((side, side), Image.Resampling.BICUBIC))


def digits_cnn() -> nn.Module:
    """Of the digits as they are: 8 x 8."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(32 * 16, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def convolution(inner: int, outer: int, size: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """A convolution without bias and its BatchNorm."""
    return nn.Sequential(
        nn.Conv2d(inner, outer, size, stride, size // 2, groups=groups, bias=False), nn.BatchNorm2d(outer)
    )


class Residual(nn.Module):
    """Two convolutions around which the input passes, through a third where the shape changes."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.first = convolution(inner, outer, 3, stride)
        self.second = convolution(outer, outer, 3)
        same = inner == outer and stride == 1
        self.shortcut = nn.Identity() if same else convolution(inner, outer, 1, stride)

    def forward(self, x: Any) -> Any:
        return torch.relu(self.second(torch.relu(self.first(x))) + self.shortcut(x))


class ResNet(nn.Module):
    """Of 32 x 32 images: three stages of two blocks, 16 to 64 channels."""

    def __init__(self) -> None:
        super().__init__()
        stages = [(16, 16, 1), (16, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1)]
        self.stem = convolution(1, 16, 3)
        self.blocks = nn.Sequential(*(Residual(*stage) for stage in stages))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(64, 10)

    def forward(self, x: Any) -> Any:
        return self.head(torch.flatten(self.pool(self.blocks(torch.relu(self.stem(x)))), 1))


class Gate(nn.Module):
    """Squeeze and excite: each channel times a hard sigmoid of all channels' means."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.squeeze = nn.Conv2d(channels, max(8, channels // 4), 1)
        self.excite = nn.Conv2d(max(8, channels // 4), channels, 1)

    def forward(self, x: Any) -> Any:
        gate = self.excite(torch.relu(self.squeeze(self.pool(x))))
        return x * nn.functional.hardsigmoid(gate)


class Bottleneck(nn.Module):
    """Expand, depthwise convolution, perhaps a gate, project; around it the input where the shape allows."""

    def __init__(self, shape: tuple[int, int, int, int], activation: type[nn.Module], gated: bool) -> None:
        super().__init__()
        inner, outer, stride, expansion = shape
        wide = inner * expansion
        self.around = stride == 1 and inner == outer
        self.steps = nn.Sequential(
            convolution(inner, wide, 1),
            activation(),
            convolution(wide, wide, 3, stride, groups=wide),
            activation(),
            Gate(wide) if gated else nn.Identity(),
            convolution(wide, outer, 1),
        )

    def forward(self, x: Any) -> Any:
        return x + self.steps(x) if self.around else self.steps(x)


class MobileNetV2(nn.Module):
    """Of 32 x 32 images: five bottlenecks with Relu6."""

    def __init__(self) -> None:
        super().__init__()
        shapes = [(16, 16, 1, 2), (16, 24, 2, 4), (24, 24, 1, 4), (24, 40, 2, 4), (40, 40, 1, 4)]
        blocks = [Bottleneck(shape, nn.ReLU6, gated=False) for shape in shapes]
        self.features = nn.Sequential(
            convolution(1, 16, 3, 2), nn.ReLU6(), *blocks, convolution(40, 128, 1), nn.ReLU6()
        )
        self.head = nn.Sequential(nn.Dropout(0.1), nn.Linear(128, 10))

    def forward(self, x: Any) -> Any:
        return self.head(self.features(x).mean([2, 3]))


class MobileNetV3(nn.Module):
    """Of 32 x 32 images: five bottlenecks with hard-swish and gates."""

    def __init__(self) -> None:
        super().__init__()
        shapes = [(16, 16, 1, 2), (16, 24, 2, 4), (24, 24, 1, 4), (24, 40, 2, 4), (40, 40, 1, 4)]
        blocks = [
            Bottleneck(shape, nn.ReLU if at < 1 else nn.Hardswish, gated=at != 1)
            for at, shape in enumerate(shapes)
        ]
        self.features = nn.Sequential(
            convolution(1, 16, 3, 2), nn.Hardswish(), *blocks, convolution(40, 96, 1), nn.Hardswish()
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Sequential(nn.Linear(96, 64), nn.Hardswish(), nn.Dropout(0.1), nn.Linear(64, 10))

    def forward(self, x: Any) -> Any:
        return self.head(torch.flatten(self.pool(self.features(x)), 1))


def silu_cnn() -> nn.Module:
    """Of 32 x 32 images: what the others do not have."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, stride=2, padding=2),
        nn.BatchNorm2d(16),
        nn.SiLU(),
        nn.Conv2d(16, 24, 3, padding=1, groups=2),
        nn.BatchNorm2d(24),
        nn.LeakyReLU(0.125),
        nn.AvgPool2d(2),
        nn.Conv2d(24, 48, 3, padding=2, dilation=2),
        nn.BatchNorm2d(48),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(48 * 4, 10),
    )
