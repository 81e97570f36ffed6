"""`consil`, and `python -m cli`, which the processes that `consil` starts run.

Until the handler of Ctrl-C is in place nothing is imported that is not loaded already: each import would be a
moment in which Ctrl-C prints where in it Python was. `_signal` is the built-in half of `signal`.
"""

import _signal  # type: ignore[import-not-found]  # typeshed knows only `signal`
import os
import sys

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it: 128 and the number of SIGINT."""


def start() -> None:
    """Run `consil`. Ctrl-C ends it without a word, also while its modules are being imported."""
    _signal.signal(_signal.SIGINT, _leave)
    from cli.main import main

    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _leave(*_: object) -> None:
    """There is nothing to tidy up yet; an exception in an import would be shown, or lost."""
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    start()
