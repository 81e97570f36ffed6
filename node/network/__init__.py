"""Authenticated connections to other nodes, and the messages and requests that travel over them."""
