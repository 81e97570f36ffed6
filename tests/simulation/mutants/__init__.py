"""Planted bugs of the consensus engine, and the table of the oracles that notice them."""
