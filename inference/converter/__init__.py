"""From a float model and samples to an exact model and a report on what that cost.

`convert` is the whole, in two halves that share nothing but a `program`.

Understanding, from bytes to a program (passes 1 to 7): `gate` admits a file, `extension` and `fold` have it
folded in a process of its own, `draft` holds it while it is read. `idioms`, `pipelines`, `features`,
`learners` and `heads` make one operator of what exporters spell in many; `movements`, `resizing` and
`weighted` make steps of nodes, `regions`, `elementwise` and `forms` functions of one variable of the rest;
`absorption` melts scales into weights.

Making exact, from a program and samples to a file: `prepare` leaves fewer kinds of steps, `calibrate` and
`correlation` look at samples, `groups`, `sharing`, `ranges` and `sums` say what integers could stand for each
tensor, and `allocate` decides it: a `plan`. `lowering` has each step written by the rule that `registry`
names (`lower_*`, with `spellings`, `splitting`, `deferral`, `rounding`), `build` puts inputs and outputs
around it, `layout` leaves out what moves nothing. Then the prover judges the file, and `measure` and
`report` say how near it came.
"""
