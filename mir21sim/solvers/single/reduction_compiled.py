"""The functions of ``reduction.ReductionKernels`` in machine code."""

from mir21sim.compiler.machine_code import solver


@solver(
    "b1(f8[::1], i8[::1], i8[::1], i8[::1], i8[::1], f8[::1], f8[::1], f8[::1],"
    "   f8[::1], f8, f8[::1], f8[::1])",
    error_model="numpy",
)
def spread(
    z, index, tied, first, partner, weight, constant, least, floor, share, peak, y
):
    """Set all moving states; say whether one is negative or drained."""
    # z (n_z,) moving states at y[index]; tied states y = constant + Σ weight·z, with
    # the terms first[i] to first[i + 1] of row i (compressed sparse rows).
    odd = False
    for k in range(len(z)):
        value = z[k]
        y[index[k]] = value
        peak[k] = max(peak[k], abs(value))
        # Negative by more than a share of the peak and the floor.
        odd |= value < -(share * peak[k] + floor[k])
    for i in range(len(tied)):
        value = constant[i]
        for k in range(first[i], first[i + 1]):
            value += weight[k] * z[partner[k]]
        y[tied[i]] = value
        # least[i] is the lower limit of a tied state.
        odd |= value < least[i]
    return odd


@solver("f8(f8[::1], i8[::1], f8[::1], f8[::1])", error_model="numpy")
def gather(slope, index, inflow, out):
    """Set out = slope[index] + inflow; return the sum."""
    # The sum is not finite where any element is not finite: one test for all.
    total = 0.0
    for k in range(len(out)):
        out[k] = slope[index[k]] + inflow[k]
        total += out[k]
    return total


@solver("f8(f8[::1], i8[::1], f8[::1], i8[::1], f8[::1])", error_model="numpy")
def scatter(data, source, factor, at, out):
    """Set out to zero and add factor·data[source] at the places; return their sum."""
    out[:] = 0.0
    total = 0.0
    for k in range(len(source)):
        # out[at] = Σ factor·data[source]; several terms may have one place.
        value = factor[k] * data[source[k]]
        out[at[k]] += value
        total += value
    return total
