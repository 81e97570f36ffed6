"""Train and export the test models again: `python -m tests.models.make [SCRIPT ...]`.

Needs the packages of `requirements.txt`; `make models` makes an environment of its own for them.
"""

import importlib
import sys
from typing import Final

from tests.models.make.record import write

SCRIPTS: Final = (
    "tables",
    "text_direction",
    "images",
    "masks",
    "lines",
    "attention",
    "keras_images",
    "large",
)


def main() -> None:
    for script in sys.argv[1:] or SCRIPTS:
        for made in importlib.import_module(f"tests.models.make.{script}").make():
            write(made, script)


if __name__ == "__main__":
    main()
