"""Chain specifications: parse, validate, presets."""
