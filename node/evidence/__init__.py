"""Misbehaviour of validators that can be proved: kept, told on, and put before the chain."""
