"""`make demo`: a local network does its whole job in front of an audience."""
