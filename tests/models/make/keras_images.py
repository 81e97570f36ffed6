"""A small network of Keras: images with the channels last, which the exporter turns by Transpose."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras
import tensorflow as tf
from keras import layers

from tests.models.load import Task
from tests.models.make.images import SAMPLES, Digits
from tests.models.make.record import CC_BY, Data, Made
from tests.models.make.tables import DIGITS

SEED: Final = 21
SIDE: Final = 16


def make() -> Iterator[Made]:
    """The one network."""
    keras.utils.set_random_seed(SEED)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    digits = Digits(side=SIDE)
    images, held_out = (part.transpose(0, 2, 3, 1) for part in (digits.train, digits.test))
    network = keras_cnn()
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(digits.reals(images), digits.train_labels, batch_size=32, epochs=15, verbose=0)
    yield Made(
        name="keras_cnn",
        task=Task.CLASSIFY,
        summary="Keras CNN: channels last, padding same, separable convolution, Flatten (Transpose), softmax",
        model=export(network),
        output="Identity:0",
        samples=Data(inputs={"image": images}, labels=digits.train_labels).take(SAMPLES),
        held_out=Data(inputs={"image": held_out}, labels=digits.test_labels),
        exporter="keras Model.export (tf2onnx)",
        packages=("keras", "tensorflow-cpu", "tf2onnx", "scikit-learn", "onnx"),
        data=DIGITS,
        data_licence=CC_BY,
        scales={"image": digits.scale},
    )


def keras_cnn() -> Any:
    """Of 16 x 16 images."""
    return keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 1), name="image"),
            layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.SeparableConv2D(32, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu6"),
            layers.Flatten(),
            layers.Dropout(0.1),
            layers.Dense(10, activation="softmax"),
        ]
    )


def export(network: Any) -> bytes:
    """ONNX by Keras itself."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        network.export(path, format="onnx", verbose=False)
        return path.read_bytes()
