"""Transformer encoders: of sentences of documentation, and of patches of images."""

import ast
import random
import re
import sysconfig
from collections import Counter
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import nn
from transformers import BertConfig, BertForSequenceClassification

from tests.models.load import Task
from tests.models.make import torch_export
from tests.models.make.images import Digits
from tests.models.make.record import Array, Data, Made

SEED: Final = 5
LIBRARIES: Final = ("python", "numpy", "scipy", "sklearn", "torch")
"""Classes: in which library's documentation a passage stands."""
PASSAGES: Final = 3400
"""Of each library."""
HELD_OUT: Final = 100
"""Of each library."""
SAMPLES: Final = 200
WORDS: Final = 1000
LENGTH: Final = 64
LEAST: Final = 32
"""Words of the shortest passage."""
ALIKE: Final = 12
"""Words at the start that are the same in passages that count as one."""
PAD, UNKNOWN, START = 0, 1, 2

DOCUMENTATION: Final = "docstrings of Python's library, NumPy, SciPy, scikit-learn and PyTorch"
DOCUMENTATION_LICENCE: Final = "PSF-2.0 (Python), BSD-3-Clause (the others)"


def make() -> Iterator[Made]:
    """The encoders."""
    yield bert("bert", hidden=64, layers=2, epochs=4)
    images = Digits(side=16)
    summary = "Vision transformer: 16 patches, LayerNorm first, Gelu by tanh, fused attention"
    yield images.made("vit", summary, VisionTransformer, 40, torch_export.export_dynamo)
    torch.backends.mha.set_fastpath_enabled(False)  # it has no ONNX form
    summary = "Transformer of PyTorch over the rows of a digit: LayerNorm and Gelu written out (opset 14)"
    old = partial(torch_export.export, opset=14)
    yield Digits(side=8).made("row_transformer", summary, RowTransformer, 60, old)


def bert(name: str, *, hidden: int, layers: int, epochs: int, large: bool = False) -> Made:
    """A BERT of the transformers library, trained from nothing."""
    torch_export.seed(SEED)
    train, test = passages()
    config = BertConfig(
        vocab_size=WORDS,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=4,
        intermediate_size=4 * hidden,
        max_position_embeddings=LENGTH,
        num_labels=len(LIBRARIES),
        attn_implementation="eager",
    )
    inputs = [
        train.inputs[name].astype(np.int64) for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    network = torch_export.fit(Scores(config), inputs, train.labels, epochs=epochs, rate=1e-3)
    return Made(
        name=name,
        task=Task.CLASSIFY,
        summary=f"BERT of {layers} layers (embeddings, mask, LayerNorm, Gelu by erf): whose documentation?",
        model=torch_export.export(network, dict(zip(train.inputs, inputs, strict=True))),
        output="scores",
        samples=train.take(SAMPLES),
        held_out=test,
        exporter=torch_export.TORCHSCRIPT,
        packages=("torch", "transformers", "onnx", "numpy", "scipy", "scikit-learn"),
        data=DOCUMENTATION,
        data_licence=DOCUMENTATION_LICENCE,
        large=large,
    )


class Scores(nn.Module):
    """The classifier, with its inputs in the order in which tokenizers give them and its scores alone."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.network = BertForSequenceClassification(config)

    def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
        return self.network(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids).logits


@cache
def passages() -> tuple[Data, Data]:
    """Passages to learn from and held-out ones, as tokens."""
    chance = random.Random(SEED)
    found = [
        (text, label) for label, library in enumerate(LIBRARIES) for text in documentation(library, chance)
    ]
    chance.shuffle(found)
    held_out, train = found[: HELD_OUT * len(LIBRARIES)], found[HELD_OUT * len(LIBRARIES) :]
    counts = Counter(word for text, _ in train for word in tokens(text))
    known = sorted(counts, key=lambda word: (-counts[word], word))[: WORDS - START - 1]
    numbers = {word: at for at, word in enumerate(known, START + 1)}
    test = encoded(held_out, numbers)
    return without(encoded(train, numbers), test), test


def without(train: Data, test: Data) -> Data:
    """Those to learn from that do not begin like a held-out one: libraries repeat themselves."""
    seen = {row[:ALIKE].tobytes() for row in test.inputs["input_ids"]}
    kept = np.array([row[:ALIKE].tobytes() not in seen for row in train.inputs["input_ids"]])
    return Data(inputs={name: held[kept] for name, held in train.inputs.items()}, labels=train.labels[kept])


def documentation(library: str, chance: random.Random) -> list[str]:
    """Passages from the docstrings of a library, chosen at random, none twice."""
    of_python = library == "python"
    folder = Path(sysconfig.get_path("stdlib")) if of_python else Path(sysconfig.get_path("purelib"), library)
    found: set[str] = set()
    for path in sorted(folder.rglob("*.py")):
        if not {"tests", "test", "testing", "site-packages"} & set(path.relative_to(folder).parts):
            found |= set(cut(path.read_text(errors="replace")))
    return chance.sample(sorted(found), PASSAGES)


def cut(source: str) -> Iterator[str]:
    """The docstrings of one file, cut between paragraphs into passages that are long enough."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ""
            for paragraph in (ast.get_docstring(node) or "").split("\n\n"):
                text = " ".join((text + " " + paragraph).split())
                if len(tokens(text)) >= LEAST:
                    yield text
                    text = ""


def tokens(text: str) -> list[str]:
    """Words, numbers and punctuation."""
    return re.findall(r"[a-z]+|[0-9]+|[^a-z0-9\s]", text.lower())


def encoded(found: list[tuple[str, int]], numbers: dict[str, int]) -> Data:
    """Numbers of the words, filled up with PAD, and a mask of where there is a word."""
    ids = np.full((len(found), LENGTH), PAD, np.int64)
    for row, (text, _) in zip(ids, found, strict=True):
        known = [START, *(numbers.get(word, UNKNOWN) for word in tokens(text))][:LENGTH]
        row[: len(known)] = known
    mask = (ids != PAD).astype(np.int64)
    inputs: dict[str, Array] = {
        "input_ids": ids,
        "attention_mask": mask,
        "token_type_ids": np.zeros_like(ids),
    }
    return Data(inputs=inputs, labels=np.array([label for _, label in found], np.int64))


class VisionTransformer(nn.Module):
    """Of 16 x 16 images: a class token, 16 patches, three layers."""

    def __init__(self) -> None:
        super().__init__()
        width = 48
        self.patches = nn.Conv2d(1, width, 4, stride=4)
        self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.randn(1, 17, width) * 0.02)
        self.layers = nn.ModuleList(Layer(width, 4) for _ in range(3))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 10)

    def forward(self, image: Any) -> Any:
        patches = self.patches(image).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(len(image), -1, -1), patches], 1) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x)[:, 0])


class Layer(nn.Module):
    """Attention by PyTorch's own fused function, then a dense network; LayerNorm before each."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.entry, self.exit = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.dense = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(approximate="tanh"), nn.Linear(2 * width, width)
        )

    def forward(self, x: Any) -> Any:
        batch, length, width = x.shape
        parts = self.entry(self.first(x)).reshape(batch, length, 3, self.heads, width // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        x = x + self.exit(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.dense(self.second(x))


class RowTransformer(nn.Module):
    """Of 8 x 8 images: each row is a token; PyTorch's own layers, LayerNorm last."""

    def __init__(self) -> None:
        super().__init__()
        width = 32
        self.entry = nn.Linear(8, width)
        self.positions = nn.Embedding(8, width)
        layer = nn.TransformerEncoderLayer(width, 4, 64, dropout=0.05, activation="gelu", batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, image: Any) -> Any:
        rows = self.entry(image.squeeze(1)) + self.positions(torch.arange(8))
        return self.head(self.layers(rows).mean(1))
