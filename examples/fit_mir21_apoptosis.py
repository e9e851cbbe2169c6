"""Fit mir21_apoptosis to single HeLa cells and to two knock-downs; prints the numbers.

Run from the root of the repository: ``python examples/fit_mir21_apoptosis.py``. Every
parameter printed has the status `fitted` in models/mir21_apoptosis.parameters.tsv or,
where a cell line is named before it, in the context of that line. The shipped number is
printed beside it and differs somewhat: the ten of the model file are those of a run
before the last changes of the model, and the two of HeLa were set by hand (`assumed`).
Only rows of models/validation/observations.csv with the use `fit` are read.
Deterministic: the same unlike cells in every step. It takes some minutes on two cores;
with ``--shipped`` the shipped numbers are compared with the data and only the two
knock-downs are fitted, in seconds.
"""

import sys
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import brentq, least_squares

from mir21sim import Options, load
from mir21sim.analysis.cell_death import crossing_times
from mir21sim.simulation.population import (
    Population,
    resting_amounts,
    simulate_population,
)
from mir21sim.simulation.simulate import simulate
from mir21sim.simulation.steady_state import resting_states

N_CELL, SEED = 40, 3
N_ALONE = 400  # of these half die: a share of 40 cells is too coarse
CHX = "cycloheximide=2.5 ug/ml@0h"
TIMES_H = np.concatenate([np.arange(0, 10, 1 / 40), np.arange(10, 30.01, 0.1)])
FILM_H = np.concatenate([np.arange(0, 8, 1 / 30), np.arange(8, 16.01, 0.5)])
ALONE_H = np.concatenate([np.arange(0, 14, 1 / 20), np.arange(14, 24.1, 0.5)])
LATE_H = 60.0  # the time of death taken for a cell that survives

# Bcl-2 over the resting level -> w_basal_BCL2, a foreign promoter that gives it
BCL2_LEVELS = {1.41: 0.437, 2.83: 0.997, 4.9: 1.81, 6.93: 2.61, 8.94: 3.40,
               11.4: 4.37}  # fmt: skip
# id: (what is read, observed, tolerance). Per-cell tables of Spencer et al. 2009 in
# sorgerlab/earm; Albeck et al. 2008 (figure script of PySB); Lopez et al. 2013.
TARGETS = {
    "SC-TD-50": ("time 2.83", 2.73, 0.12),
    "SC-TD-10": ("time 10, 2.83", 4.09, 0.20),
    "ALB-TD-2": ("ratio 2", 2.782, 0.30),
    "ALB-TD-250": ("ratio 250", 0.757, 0.04),
    "SC-CV-50": ("cv 2.83", 0.19, 0.03),
    "SC-ICRP": ("initiator", 0.448, 0.06),
    "SC-ECRP-TS": ("switch", 25.4, 2.5),
    "SC-LAG": ("lag", 6.6, 1.5),
    "SC-EARM-TS": ("smac", 3.0, 0.5),
    "SC-FATE": ("dead alone", 0.57, 0.025),
    "BCL2-50-1-2": ("survivors 1", 0.0, 0.03),
    "BCL2-50-4-6": ("survivors 4.9", 0.0, 0.06),
    "BCL2-50-8-10": ("survivors 8.94", 0.42, 0.06),
    "BCL2-50-10-13": ("survivors 11.4", 0.71, 0.06),
    "BCL2-TD-2-4": ("time 2.83", 2.64, 0.12),
    "BCL2-TD-6-8": ("time 6.93", 2.89, 0.25),
    "BCL2-TD-10-13": ("time 11.4", 2.96, 0.25),
}

# id: start value; a weak prior holds on to it
FREE = {
    "kf_TRAIL_TNFRSF10B": 1.5e-08,
    "k_DISC_CASP8": 1.6e-06,
    "k_CASP8_BID": 1.8e-05,
    "k_release_tBID": 0.0005,
    "k_deg_tBID": 9.5e-05,
    "k_BH3_BAX": 1.9e-06,
    "k_return_BAX": 0.00058,
    "kr_BCL2_BAX": 0.0009,
    "k_pore_DIABLO": 1e-06,
    "k_CASP3_PARP1": 1.5e-08,
    "k_syn_CFLAR": 20.0,
    "k_syn_MCL1": 5.4,
}
HELA_ONLY = {"k_syn_CFLAR": "CFLAR", "k_syn_MCL1": "MCL1"}
DECADES = 0.3  # how far, in factors of ten, a weak prior lets a value stray
STEP = 0.06  # of the differences, in factors of ten: shares of 40 cells are coarse

# id: (cell line, nM of anti-miR-21, share of miR-21 left after 48 h). KD-468: figure
# legend of an unidentified paper; KD-TCA: Chen J et al. 2015, dose not given, 50 nM
# assumed. Fitted by the effective-dose scale of the line alone, between the bounds.
KNOCK_DOWN = {
    "KD-468": ("MDA-MB-468", 90.0, 0.30),
    "KD-TCA": ("Tca8113", 50.0, 0.32),
}
UPTAKE = ("k_uptake_lipid", 1e-8, 2e-6)


class Dish:
    """Unlike HeLa cells at rest, run in one batch for many sets of parameters."""

    def __init__(self, model, n_cell=N_CELL, levels=BCL2_LEVELS):
        self.model, self.n_cell = model, n_cell
        cells = Population(n_cell, seed=SEED).cells(model)
        bcl2 = model.info.genes["BCL2"]
        fixed = {*bcl2.synthesis, *bcl2.protein}
        self.varied = [name for name in cells if name in model.param_names]
        alike = {name: v for name, v in cells.items() if name not in fixed}
        starts = [self._start(cells, {})]
        for fold, promoter in levels.items():
            starts.append(self._start(alike, {"w_basal_BCL2": promoter}, fold))
        y, p = (np.concatenate(part) for part in zip(*starts, strict=True))
        rest, _ = resting_states(model, y, p)
        rest = np.split(np.where(np.isnan(rest), y, rest), len(starts))
        folds = [None, *levels]
        self.rest = dict(zip(folds, zip(rest, np.split(p, len(starts)), strict=True),
                             strict=True))  # fmt: skip

    def _start(self, cells, parameters, fold=1.0):
        model = self.model
        y = np.tile(resting_amounts(model), (self.n_cell, 1))
        p = np.tile(model.p0, (self.n_cell, 1))
        for name in model.info.genes["BCL2"].protein:
            y[:, model.state_names.index(name)] *= fold
        for name, values in {**cells, **parameters}.items():
            if name in model.param_names:
                p[:, model.param_names.index(name)] = values
            else:
                y[:, model.state_names.index(name)] = values
        return y, p

    def run(
        self,
        sets: Sequence[Mapping[str, float]],
        doses: Sequence[str],
        times,
        observe: Sequence[str],
        folds: Sequence[float | None] = (None,),
    ):
        """Return arrays (n_set, n_fold, n_cell, n_time), one for each quantity."""
        model, y, p = self.model, [], []
        for values in sets:
            for fold in folds:
                rest, parameters = (a.copy() for a in self.rest[fold])
                for name, value in values.items():
                    k = model.param_names.index(name)
                    change = value / model.p0[k]
                    parameters[:, k] *= change
                    if name in HELA_ONLY:  # short-lived: its level follows its making
                        rest[:, model.state_names.index(HELA_ONLY[name])] *= change
                y.append(rest)
                p.append(parameters)
        amounts, parameters = np.concatenate(y), np.concatenate(p)
        cells = dict(zip(model.state_names, amounts.T, strict=True))
        for name in {*self.varied, "w_basal_BCL2", *sets[0]}:
            cells[name] = parameters[:, model.param_names.index(name)]
        found = simulate_population(
            model, cells, times=times, observe=observe, doses=doses,
            options=Options(rtol=1e-4, equilibrate=False),
        )  # fmt: skip
        shape = (len(sets), len(folds), self.n_cell, -1)
        return [found[name].values.reshape(shape) for name in observe]


def minutes(times, curves):
    """Return the time from 10 to 90 % of an absolute fraction, of the median cell."""
    low, high = (crossing_times(times, curves, x) for x in (0.1, 0.9))
    return 60 * float(np.median(np.minimum(high, LATE_H) - np.minimum(low, LATE_H)))


def soft_share(times, limit, width):
    """Return the share of times below a limit, the step softened for the optimiser."""
    late = np.log(np.clip(times, 1e-3, LATE_H) / limit)
    return float(np.mean(1 / (1 + np.exp(late / width))))


def predictions(dish, alone, sets):
    """Return what the model gives for each target, one dict for each set."""
    out = [{} for _ in sets]
    momp, smac, parp, bid = (
        "MOMP_fraction", "DIABLO_released_fraction", "PARP_cleaved_fraction",
        "BID_cleaved_fraction",
    )  # fmt: skip
    for dose in (2, 10, 50, 250):
        names = [momp, parp, smac, bid] if dose == 50 else [momp, parp]
        curves = dish.run(sets, [f"TRAIL={dose} ng/ml@0h", CHX], TIMES_H, names)
        for k, read in enumerate(out):
            m, c = (x[k, 0] for x in curves[:2])
            died, cut = crossing_times(TIMES_H, m), crossing_times(TIMES_H, c)
            dead = np.isfinite(died) & np.isfinite(cut)
            read[f"cut {dose}"] = cut[dead].mean()
            if dose == 50:
                s, b = (x[k, 0][dead] for x in curves[2:])
                half = crossing_times(TIMES_H, s)
                level = [np.interp(t, TIMES_H, x) for t, x in zip(half, b, strict=True)]
                read["survivors 1"] = 1 - dead.mean()
                read["initiator"] = np.mean(level)
                read["switch"] = minutes(TIMES_H, c[dead])
                read["smac"] = minutes(TIMES_H, s)
                read["lag"] = 60 * np.median(cut[dead] - half)
    (made,) = alone.run(sets, ["TRAIL=50 ng/ml@0h"], ALONE_H, [momp])
    low = dish.run(sets, ["TRAIL=10 ng/ml@0h", CHX], FILM_H, [momp], [2.83])[0][:, 0]
    doses = ["TRAIL=50 ng/ml@0h", CHX]
    (held,) = dish.run(sets, doses, FILM_H, [momp], list(BCL2_LEVELS))
    for k, read in enumerate(out):
        read["dead alone"] = soft_share(crossing_times(ALONE_H, made[k, 0]), 13.5, 0.03)
        slow = crossing_times(FILM_H, low[k])
        read["time 10, 2.83"] = slow[np.isfinite(slow)].mean()
        for fold, curves in zip(BCL2_LEVELS, held[k], strict=True):
            times = crossing_times(FILM_H, curves)
            dead = np.isfinite(times)
            read[f"survivors {fold}"] = 1 - dead.mean()
            read[f"time {fold}"] = times[dead].mean() if dead.any() else 8.0
            read[f"cv {fold}"] = times[dead].std() / read[f"time {fold}"]
        for dose in (2, 250):
            read[f"ratio {dose}"] = read[f"cut {dose}"] / read["cut 50"]
    return out


def shipped(model):
    """Return the values of the model for the parameters that are fitted."""
    return {name: float(model.p0[model.param_names.index(name)]) for name in FREE}


def fit(dish, alone):
    """Return the fitted values."""
    start = np.log10(list(FREE.values()))
    names, value, tolerance = zip(*TARGETS.values(), strict=True)

    def residuals(rows):
        sets = [dict(zip(FREE, 10**row, strict=True)) for row in rows]
        reads = predictions(dish, alone, sets)
        said = np.array([[read[name] for name in names] for read in reads])
        data = np.clip((said - value) / np.array(tolerance), -20, 20)
        return np.concatenate([data, (rows - start) / DECADES], axis=1)

    def slopes(x):
        rows = residuals(np.vstack([x, x + STEP * np.eye(len(x))]))
        return (rows[1:] - rows[0]).T / STEP

    found = least_squares(
        lambda x: residuals(x[np.newaxis])[0],
        start,
        jac=slopes,
        bounds=(start - 1, start + 1),
        x_scale=0.1,
        loss="soft_l1",
        max_nfev=8,
    )
    return {n: float(f"{10**v:.4g}") for n, v in zip(FREE, found.x, strict=True)}


def fit_uptake(line, dose_nM, left):
    """Return the transfection rate at which a share of miR-21 is left after 48 h."""
    model, (name, low, high) = load("mir21_apoptosis", line), UPTAKE

    def excess(log_rate):
        found = simulate(
            model,
            48.0,
            points=3,
            doses=[f"anti_miR21={dose_nM} nM@0h"],
            observe=["miR21_active"],
            parameters={name: 10**log_rate},
        )
        amount = found["miR21_active"].values
        return amount[-1] / amount[0] - left

    return float(f"{10 ** brentq(excess, np.log10(low), np.log10(high)):.4g}")


def misfit(read):
    """Return the sum of squares of the errors over their tolerances."""
    return sum(((read[n] - value) / tol) ** 2 for n, value, tol in TARGETS.values())


def main(only_shipped):
    """Print fitted beside shipped; the values of FREE are fitted only where asked."""
    model = load("mir21_apoptosis", "HeLa")
    dish, alone = Dish(model), Dish(model, N_ALONE, {})
    sets = {"start": FREE, "shipped": shipped(model)}
    if not only_shipped:
        sets["fitted"] = fit(dish, alone)
    reads = predictions(dish, alone, list(sets.values()))
    print("id               target", *(f"{title:>8}" for title in sets))
    for key, (name, value, _) in TARGETS.items():
        said = (f"{read[name]:>8.4g}" for read in reads)
        print(f"{key:<14} {value:>8.4g}", *said, f" {name}")
    print("misfit", " " * 16, *(f"{misfit(read):>8.4g}" for read in reads), "\n")
    for name, held in sets["shipped"].items():
        line, value = "HeLa: " if name in HELA_ONLY else "", sets.get("fitted")
        value = held if value is None else value[name]
        print(f"{line}{name} = {value:.4g} (shipped {held:.4g})")
    for line, dose, left in KNOCK_DOWN.values():
        model, value = load("mir21_apoptosis", line), fit_uptake(line, dose, left)
        rate = model.p0[model.param_names.index(UPTAKE[0])]
        print(f"{line}: {UPTAKE[0]} = {value:.4g} (shipped {rate:.4g})")


if __name__ == "__main__":
    main(only_shipped="--shipped" in sys.argv[1:])
