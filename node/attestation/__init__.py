"""Attesting: what a validator computes outside of blocks, and how it says so inside."""
