"""From files that people have (tables, images, text) to the arrays that a model takes, as its card says."""
