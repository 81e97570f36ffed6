"""The node: one package per duty, composed in one nursery."""
