"""How a peer stands that is asked for things: who fails rests, longer each time; a liar, as long as a ban."""

from dataclasses import dataclass
from typing import Final

DOUBLINGS_MAX: Final = 6
LIAR_REST_S: Final = 600.0
"""As long as a ban: who lied is asked again only when the network has forgiven it."""


@dataclass(slots=True, kw_only=True)
class Standing:
    """Times are seconds on the host's monotonic clock."""

    failures: int = 0
    """In a row, as far as the owner resets them."""

    rests_until: float = 0.0

    def fail(self, now: float, rest_s: float, *, lied: bool = False) -> None:
        """One more failure; `rest_s` is the pause after the first."""
        pause_s = LIAR_REST_S if lied else rest_s * (1 << min(self.failures, DOUBLINGS_MAX))
        self.failures += 1
        self.rests_until = max(self.rests_until, now + pause_s)

    def is_rested(self, now: float) -> bool:
        return now >= self.rests_until
