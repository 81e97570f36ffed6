"""What holds for every test."""

import os

import pytest
from hypothesis import settings
from xdist.remote import Producer

from tests.scheduling import RealOnesInTurn

# Tests that load onnxruntime without the project's engine keep silent as well.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# A busy machine must not turn a passing property red: no test is judged by a clock.
settings.register_profile("consilience", deadline=None)
settings.load_profile("consilience")


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> RealOnesInTurn:
    """How several processes share the tests."""
    return RealOnesInTurn(config, log)
