"""What holds for every test."""

import os

from hypothesis import settings

# Tests that load onnxruntime without the project's engine keep silent as well.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# A busy machine must not turn a passing property red: no test is judged by a clock.
settings.register_profile("consilience", deadline=None)
settings.load_profile("consilience")
