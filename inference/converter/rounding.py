"""Weights rounded together, such that the errors of some make up for those of others."""

from dataclasses import dataclass

import numpy as np

from inference.converter.calibrate import short
from inference.converter.plan import Correlation
from inference.converter.program import Integers, Reals
from inference.converter.sums import Kernel


@dataclass(frozen=True, slots=True)
class Rounding:
    """An order in which the weights of a sum are rounded, and what the error of one adds to those after it.

    The nearest plane to a point of a lattice (Babai, 1986), the lattice being that of the sums which whole
    weights give: the last weight is rounded first, and every later one makes up for what it can.
    """

    order: Integers
    """int64[groups, terms]: the weight at each place of the order."""
    shares: Reals
    """float64[groups, terms, terms]: what an error (second) adds to a weight before it (first)."""
    groups: Integers
    """int64[out]: the group of each output."""

    def whole(self, exact: Reals, rows: Integers, cap: float) -> Reals:
        """The weights[row, in, tap] of some outputs as whole numbers of at most `cap`."""
        groups = self.groups[rows]
        order = self.order[groups]
        wanted = np.take_along_axis(exact.reshape(len(rows), -1), order, axis=1)
        target, found = wanted.copy(), np.empty_like(wanted)
        one = len(self.shares) == 1
        for at in reversed(range(wanted.shape[1])):
            found[:, at] = np.clip(np.rint(target[:, at]), -cap, cap)
            error = wanted[:, at] - found[:, at]
            shares = self.shares[0, :at, at] if one else self.shares[groups, :at, at]
            target[:, :at] += error[:, None] * shares
        result = np.empty_like(found)
        np.put_along_axis(result, order, found, axis=1)
        return result.reshape(exact.shape)


def rounding(correlation: Correlation, kernel: Kernel, scale: Reals) -> Rounding:
    """For inputs in steps of `scale`, which is one or one for each input channel.

    What is known from few places counts less; and an input's own rounding is noise of a variance of 1/12.
    """
    groups, terms, _ = correlation.covariance.shape
    outputs, inputs, taps = kernel.weights.shape
    group_of = np.arange(outputs) * groups // outputs
    firsts = np.unique(group_of, return_index=True)[1]
    steps = np.broadcast_to(kernel.of_inputs(scale), (outputs if scale.size > 1 else 1, inputs, taps))
    steps = (steps[firsts] if scale.size > 1 else steps).reshape(-1, terms)
    covariance = correlation.covariance / (steps[:, :, None] * steps[:, None, :])
    trust = correlation.places / (correlation.places + terms)
    variances = np.einsum("gii->gi", covariance).copy()
    covariance *= trust
    diagonal = np.arange(terms)
    covariance[:, diagonal, diagonal] = variances + 1 / 12
    order = np.argsort(variances, axis=1, kind="stable")
    covariance = np.take_along_axis(
        np.take_along_axis(covariance, order[:, :, None], axis=1), order[:, None, :], axis=2
    )
    lower = np.linalg.cholesky(covariance)
    shares = short(lower.transpose(0, 2, 1) / lower[:, diagonal, diagonal][:, :, None])
    return Rounding(order, shares, group_of)
