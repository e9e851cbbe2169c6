"""Numbers that carry weight in the predictions of a model: the table of its README.

Run as ``python benchmarks/weights.py [CONTEXT]``, by default of HeLa.

Prints the share of the variance of the logarithm of each prediction that comes from
each number of ``mir21_apoptosis``, in percent: squared logarithmic derivative, exact,
times the squared width of the number's range, the numbers taken as independent. The
EC50 of TRAIL is read from the time of death T near it, at the dose D:
``d ln EC50 / d ln p = -(d T / d ln p) / (d T / d ln D)``.
"""

import sys

import numpy as np

import mir21sim as ms
from mir21sim.analysis.trust import uncertain_numbers

MODEL, CHX = "mir21_apoptosis", "cycloheximide=2.5 ug/ml@0h"
DEATH = "crossing(MOMP_fraction, 0.5)"
COLUMNS = {
    "time of death": (DEATH, ["TRAIL=50 ng/ml@0h", CHX], "16h"),
    "peak caspase-3": ("peak(CASP3_active)", ["TRAIL=50 ng/ml@0h", CHX], "16h"),
    "caspase-3 over 16 h": ("area(CASP3_active)", ["TRAIL=50 ng/ml@0h", CHX], "16h"),
    "EC50": (DEATH, ["TRAIL=60 ng/ml@0h"], "24h"),
}
"""Column to the prediction, its doses and the end of its run."""

COVERED = 0.9
"""Share of the variance of each column that the listed numbers make up."""


def slopes(model, of, doses, end, names):
    """Return the logarithmic derivatives of a prediction; of the EC50 if of a death."""
    alone = len(doses) == 1
    by = [*names, "dose(TRAIL)"] if alone else list(names)
    found = ms.sensitivities(model, of, by, end=end, doses=doses)
    values = np.ravel(found["log_derivative"].values)
    return -values[:-1] / values[-1] if alone else values


def main(context):
    """Print the table of a cell line, in Markdown."""
    model = ms.load(MODEL, context=context)
    numbers = uncertain_numbers(model, fixed=("anti_miR21",))
    share = {}
    for column, (of, doses, end) in COLUMNS.items():
        part = (slopes(model, of, doses, end, numbers.names) * numbers.widths) ** 2
        share[column] = part / part.sum()
    listed = set()
    for part in share.values():
        order = np.argsort(-part, kind="stable")
        listed |= set(order[: 1 + np.searchsorted(np.cumsum(part[order]), COVERED)])
    statuses = np.array(numbers.statuses)
    for column, part in share.items():
        sums = {status: part[statuses == status].sum() for status in set(statuses)}
        ranked = sorted(sums.items(), key=lambda item: -item[1])
        text = ", ".join(f"{100 * value:.0f} % {status}" for status, value in ranked)
        print(f"{column}: {text}")
    print(f"\n| number | value | status | {' | '.join(share)} |")
    print("|---|---|---|" + "---|" * len(share))
    for i in sorted(listed, key=lambda i: -sum(part[i] for part in share.values())):
        cells = [numbers.names[i], f"{numbers.values[i]:.4g}", numbers.statuses[i]]
        cells += [f"{100 * part[i]:.1f}" for part in share.values()]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "HeLa")
