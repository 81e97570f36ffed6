"""Finalized blocks from peers, for a node that is new, was away or has no vote, and news of the newest."""
