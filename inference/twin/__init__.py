"""The int8 twin of an exact model: the same function, bit for bit, with eight-bit operands."""
