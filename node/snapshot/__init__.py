"""Joining a running network by its finalized state: the side that serves it, and the side that fetches it."""
