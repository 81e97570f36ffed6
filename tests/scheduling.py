"""How several processes share the tests (docs/decisions/0048)."""

from typing import Final

from xdist.scheduler import LoadScopeScheduling

REAL: Final = (
    "tests/chaos/",
    "tests/cli/test_chainspec_fork.py",
    "tests/cli/test_joining.py",
    "tests/cli/test_main.py",
    "tests/cli/test_node",
    "tests/cli/test_testnet",
    "tests/e2e/",
    "tests/examples/",
    "tests/fuzz/",
    "tests/inference/converter/test_fold.py",
    "tests/inference/engines/test_choice.py",
    "tests/inference/engines/test_remote.py",
    "tests/inference/test_engine_privacy.py",
    "tests/inference/test_landlock.py",
    "tests/inference/test_pool.py",
    "tests/inference/test_protections.py",
    "tests/inference/test_sandbox.py",
    "tests/inference/test_seccomp.py",
    "tests/inference/test_sessions.py",
    "tests/inference/test_supervisor.py",
    "tests/inference/test_worker.py",
    "tests/node/",
    "tests/tidy/test_import_weight.py",
    "tests/tidy/test_install.py",
)
"""Where tests with processes, sockets or measurements are."""


class RealOnesInTurn(LoadScopeScheduling):
    """One worker has all the real tests, one after another; the others take the rest file by file."""

    def _split_scope(self, nodeid: str) -> str:
        return "real" if nodeid.startswith(REAL) else nodeid.partition("::")[0]
