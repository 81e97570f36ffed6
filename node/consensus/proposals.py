"""What a proposed block must look like before anything is executed.

Only fields under the block hash are judged: the leader signed those. A misshapen block is nullified at once.
"""

from node.consensus.interface import Epoch, Settings
from primitives.block import Header
from primitives.types import View


def is_misshapen(header: Header, epoch: Epoch, view: View) -> bool:
    """Whether no honest leader proposes this header in `view`, whatever came before.

    The epoch's last block is proposed again until it is final, so that its own view may lie below.
    """
    committee = epoch.committee
    is_last = epoch.is_last(header)
    if header.epoch != epoch.index or not committee.first_height <= header.height <= committee.last_height:
        return True
    if (header.next_set is not None) != is_last:
        return True
    if not 1 <= header.view <= view or (header.view < view and not is_last):
        return True
    return header.author != committee.members[epoch.leader(header.view)].key


def misfits_parent(header: Header, parent: Header, settings: Settings) -> bool:
    """Whether height or timestamp do not follow from the parent's."""
    return (
        header.height != parent.height + 1
        or header.timestamp_ms < parent.timestamp_ms + settings.block_time_ms
    )
