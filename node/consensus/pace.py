"""When to give a view up. Nothing here can harm safety: an early NULLIFY is always allowed."""

from node.consensus.interface import Epoch
from primitives.types import AuthorityIndex, PublicKey, TimestampMs, View


def expiries_before_nullify(view: View, final_view: View) -> int:
    """At which expiry of its timer a view is given up: patience grows slowly while nothing becomes final.

    Doubling instead would cost hours after a run of dead leaders.
    """
    return 1 + min(63, max(0, view - final_view - 2) // 4)


class Pace:
    """Who was heard lately: a leader that is silent is given less time.

    Silent is a member of whom no valid vote arrived for as many views as there are members, and for a timer's
    period.
    """

    def __init__(self, epoch: Epoch, silent: frozenset[PublicKey]) -> None:
        """`silent`: keys that the epoch before found silent."""
        self._epoch = epoch
        self._members = epoch.committee.members
        self._heard = [(View(0), TimestampMs(0))] * len(self._members)
        self._silent = {index for index, member in enumerate(self._members) if member.key in silent}
        self._spared_ms = 0
        """What the first timer of the current view is shorter than a period."""

    @property
    def silent(self) -> frozenset[PublicKey]:
        """Keys of the silent members."""
        return frozenset(self._members[index].key for index in self._silent)

    def is_silent(self, index: AuthorityIndex) -> bool:
        """Whether a member is silent."""
        return index in self._silent

    def start(self, view: View, now_ms: TimestampMs) -> None:
        """Begin to listen, in `view`."""
        self._heard = [(view, now_ms)] * len(self._heard)

    def hear(self, signer: AuthorityIndex, view: View, now_ms: TimestampMs) -> None:
        """A vote of `signer` that was not known arrived while this node is in `view`."""
        self._heard[signer] = (view, now_ms)
        self._silent.discard(signer)

    def enter(self, view: View, now_ms: TimestampMs, *, is_jump: bool) -> None:
        """This node enters `view`. After a jump the views in between say nothing about anybody."""
        if is_jump:
            self._heard = [(view, at) for _, at in self._heard]
        for index, (heard_view, heard_ms) in enumerate(self._heard):
            quiet_views, quiet_ms = view - heard_view, now_ms - heard_ms
            if quiet_views >= len(self._heard) and quiet_ms >= self._epoch.settings.period_ms:
                self._silent.add(index)

    def first_delay_ms(self, view: View, parent_ms: TimestampMs | None, now_ms: TimestampMs) -> int:
        """Time from entering `view` to the first expiry; `parent_ms`: timestamp of what its block extends."""
        settings = self._epoch.settings
        self._spared_ms = 0
        if not self.is_silent(self._epoch.leader(view)):
            return settings.period_ms
        until_due = settings.block_time_ms
        if parent_ms is not None:
            until_due = min(until_due, max(0, parent_ms + settings.block_time_ms - now_ms))
        first_ms = until_due + settings.delta_ms
        self._spared_ms = settings.period_ms - first_ms
        return first_ms

    def rest_ms(self, view: View) -> int:
        """What is left, at the first expiry of `view`, to a leader that was silent when it began and spoke
        since: it has the whole period, like any other. 0 if there is none, and at every later expiry."""
        rest_ms, self._spared_ms = self._spared_ms, 0
        return 0 if self.is_silent(self._epoch.leader(view)) else rest_ms
