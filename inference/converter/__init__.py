"""From a float model and samples to an exact model and a report on what that cost."""
