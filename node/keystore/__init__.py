"""Secret seeds in files of their owner."""
