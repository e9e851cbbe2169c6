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
    odd = False
    for k in range(len(z)):
        value = z[k]
        y[index[k]] = value
        peak[k] = max(peak[k], abs(value))
        odd |= value < -(share * peak[k] + floor[k])
    for i in range(len(tied)):
        value = constant[i]
        for k in range(first[i], first[i + 1]):
            value += weight[k] * z[partner[k]]
        y[tied[i]] = value
        odd |= value < least[i]
    return odd


@solver("f8(f8[::1], i8[::1], f8[::1], f8[::1])", error_model="numpy")
def gather(slope, index, inflow, out):
    """Set out = slope[index] + inflow; return the sum."""
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
        value = factor[k] * data[source[k]]
        out[at[k]] += value
        total += value
    return total
