"""What a user did that cannot be done."""


class UserError(Exception):
    """A refusal in one line: the cause, and what to do about it. Exit code 1."""

    def __init__(self, cause: str, advice: str = "") -> None:
        super().__init__(f"{cause}; {advice}" if advice else cause)
        self.cause = cause
        self.advice = advice
