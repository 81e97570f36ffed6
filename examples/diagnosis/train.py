"""Train the float model of this example and write its files next to this script.

The exporters are no dependencies of the project: run it in an environment of its own, Python 3.11, with

    pip install scikit-learn==1.7.2 skl2onnx==1.20.0 onnx==1.23.2 numpy==2.4.6
    python train.py

Writes model.onnx, train.csv (training and calibration) and held_out.csv, and prints the accuracy.
"""

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
HELD_OUT: Final = 171
"""Three tenths of the 569 biopsies, in the proportions of the whole."""
SEED: Final = 2


def main() -> None:
    import numpy as np
    from skl2onnx import to_onnx
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    data = load_breast_cancer()
    features, held_features, labels, held_labels = train_test_split(
        data.data, data.target, test_size=HELD_OUT, random_state=SEED, stratify=data.target
    )
    network = MLPClassifier((16, 8), alpha=0.01, max_iter=400, random_state=SEED)
    model = make_pipeline(StandardScaler(), network).fit(features, labels)
    exported = to_onnx(model, features[:1].astype(np.float32), target_opset={"": 17, "ai.onnx.ml": 3})
    (HERE / "model.onnx").write_bytes(exported.SerializeToString())
    names = [name.replace(" ", "_") for name in data.feature_names]
    write(HERE / "train.csv", names, features, labels)
    write(HERE / "held_out.csv", names, held_features, held_labels)
    right = int((model.predict(held_features) == held_labels).sum())
    print(json.dumps({"train": len(labels), "held_out": HELD_OUT, "right": right}))


def write(path: Path, names: list[str], features: Iterable[Iterable[Any]], labels: Iterable[Any]) -> None:
    """One line per biopsy: thirty measurements as published, then the label."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*names, "label"])
        for row, label in zip(features, labels, strict=True):
            writer.writerow([*(repr(float(value)) for value in row), int(label)])


if __name__ == "__main__":
    main()
