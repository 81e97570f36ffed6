"""What holds for every test."""

from hypothesis import settings

# A busy machine must not turn a passing property red: no test is judged by a clock.
settings.register_profile("consilience", deadline=None)
settings.load_profile("consilience")
