"""What is wrong with a file that should become inputs."""


class PreparationError(Exception):
    """The file cannot be read, or is not what the model takes."""

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(reason)
        self.advice = advice
        """What its owner can do."""
