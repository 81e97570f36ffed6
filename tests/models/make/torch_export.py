"""Training and the two exporters of PyTorch."""

import io
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tests.models.load import ROOT
from tests.models.make.record import Array

OPSET: Final = 17
DYNAMO_OPSET: Final = 18
TORCHSCRIPT: Final = "torch.onnx.export (TorchScript)"
DYNAMO: Final = "torch.onnx.export (dynamo)"

Loss = Callable[[Any, Any], Any]
Export = Callable[[nn.Module, dict[str, Array]], bytes]


def cross_entropy(scores: Any, labels: Any) -> Any:
    """For scores[sample, class, ...]."""
    return functional.cross_entropy(scores, labels)


def fit(
    network: nn.Module,
    inputs: Sequence[Array],
    labels: Array,
    *,
    epochs: int,
    loss: Loss = cross_entropy,
    rate: float = 3e-3,
    batch: int = 64,
    vary: Callable[[Any], Any] = lambda first: first,
) -> nn.Module:
    """The network, trained with Adam and a one-cycle rate, ready for inference.

    `vary` changes each batch of the first input at random, so that more is learned from little.
    """
    torch.set_num_threads(1)
    held = [torch.from_numpy(array) for array in inputs]
    right = torch.from_numpy(labels)
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-4)
    steps = epochs * -(-len(right) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=rate, total_steps=steps)
    network.train()
    for at in (part for _ in range(epochs) for part in shuffled(len(right), batch)):
        optimizer.zero_grad()
        scores = network(vary(held[0][at]), *(array[at] for array in held[1:]))
        loss(scores, right[at]).backward()
        optimizer.step()
        schedule.step()
    return network.eval()


def shuffled(count: int, batch: int) -> Iterator[Any]:
    """Indices of every sample once, in batches of random order."""
    yield from torch.randperm(count).split(batch)


def shifted(images: Any) -> Any:
    """A batch of images, each moved by up to one row and column."""
    rows, columns = (int(each) for each in torch.randint(-1, 2, (2,)))
    return torch.roll(images, (rows, columns), (2, 3))


def export(network: nn.Module, inputs: dict[str, Array], *, opset: int = OPSET) -> bytes:
    """ONNX by the exporter that traces, one sample as example, the batch left open."""
    buffer = io.BytesIO()
    torch.onnx.export(
        network,
        tuple(torch.from_numpy(array[:1]) for array in inputs.values()),
        buffer,
        input_names=list(inputs),
        output_names=["scores"],
        dynamic_axes={name: {0: "batch"} for name in (*inputs, "scores")},
        opset_version=opset,
        dynamo=False,
    )
    return buffer.getvalue()


def export_dynamo(network: nn.Module, inputs: dict[str, Array]) -> bytes:
    """ONNX by the exporter that captures the graph (the default of new versions), batch 1.

    It notes where in its source each node is from; the folders of this machine are taken out of that.
    """
    program = torch.onnx.export(
        network,
        tuple(torch.from_numpy(array[:1]) for array in inputs.values()),
        input_names=list(inputs),
        output_names=["scores"],
        opset_version=DYNAMO_OPSET,
        dynamo=True,
        verbose=False,
    )
    model = program.model_proto
    for note in (note for node in model.graph.node for note in node.metadata_props):
        note.value = note.value.replace(f"{sys.prefix}/", "").replace(f"{ROOT.parents[1]}/", "")
    return bytes(model.SerializeToString())


def seed(number: int) -> None:
    """Start every source of chance of a recipe."""
    torch.manual_seed(number)
    np.random.seed(number)
