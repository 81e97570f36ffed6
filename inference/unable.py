"""What goes wrong on this machine, as opposed to `Refused`, a verdict that every machine reaches."""


class Unable(Exception):
    """This machine could not do it now, so its validator abstains. Says nothing about the model."""


class Busy(Unable):
    """As many requests wait as may. Nothing was begun."""


class Crashed(Unable):
    """The worker ended."""


class TimedOut(Unable):
    """The worker took longer than its work can take, and was ended."""


class Garbled(Unable):
    """The worker sent what is no answer, and was ended."""
