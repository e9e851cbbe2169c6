"""Prior against posterior of every number that a calibration moves.

The prior of a number is log-normal about its value (``calibration``); the posterior are
the draws of an ensemble. A number of a cell line has the common factor and, where the
line has one, a factor of its own; both priors add up.
"""

from typing import TYPE_CHECKING

import numpy as np

from mir21sim.analysis.text_tables import TextTable, lines_of
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError
from mir21sim.simulation import ensemble as ensembles
from mir21sim.simulation.ensemble import LINE_MARK, Ensemble, EnsembleLike
from mir21sim.units import rounded

if TYPE_CHECKING:
    import pandas as pd

REACH = 1.959963984540054
"""Standard deviations of a normal distribution on each side of 95 %."""

TOLD = 0.8
"""Ratio of widths below which a number counts as one that the data told something of.
Chosen: the draws alone scatter by 0.04, and a finite number of them narrows numbers
that no row depends on by up to a tenth."""


def prior_posterior(
    model: CompiledModel, ensemble: EnsembleLike | None = None
) -> "pd.DataFrame":
    """Return prior and posterior of each calibrated number, most learnt first.

    Parameters
    ----------
    model : with the numbers of a cell line, from ``load``
    ensemble : draws, or their file; by default those shipped with the model

    Returns
    -------
    one row a number, indexed by ``id``: ``prior``, ``prior_low``, ``prior_high``,
    ``posterior``, ``posterior_low``, ``posterior_high`` (medians and 95 % intervals, in
    the unit of the number) and ``width_ratio``: width of the posterior interval over
    that of the prior, both of the logarithms. 1: the data told nothing

    Raises
    ------
    InputError
        For a model without an ensemble, an ensemble of another version of the model, or
        one without priors.

    Examples
    --------
    >>> import mir21sim as ms
    >>> table = ms.prior_posterior(ms.load("mir21_apoptosis", "HeLa"))
    >>> list(table.columns[:3])
    ['prior', 'prior_low', 'prior_high']
    >>> bool((table["prior_low"] < table["prior_high"]).all())
    True
    """
    import pandas as pd

    drawn = Ensemble.of(ensemble) if ensemble is not None else _shipped(model)
    widths = _prior_widths(model, drawn)
    cells = {name: v for name, v in drawn.cells(model).items() if name in widths}
    own = dict(zip(model.param_names, model.p0, strict=True))
    middle = np.array([own[name] for name in cells])
    reach = np.exp(REACH * np.array([widths[name] for name in cells]))
    draws = np.array(list(cells.values()))
    low, median, high = np.quantile(draws, (0.025, 0.5, 0.975), axis=1)
    table = pd.DataFrame(
        {
            "prior": middle,
            "prior_low": middle / reach,
            "prior_high": middle * reach,
            "posterior": median,
            "posterior_low": low,
            "posterior_high": high,
            "width_ratio": np.log(high / low) / (2.0 * np.log(reach)),
        },
        index=pd.Index(list(cells), name="id"),
    )
    return table.sort_values("width_ratio", kind="stable")


def _shipped(model: CompiledModel) -> Ensemble:
    found = ensembles.shipped(model)
    if found is None:
        raise InputError(
            f"{model.id} is shipped without an ensemble; give one (`ensemble=`)."
        )
    return found


def _prior_widths(model: CompiledModel, drawn: Ensemble) -> dict[str, float]:
    """Return the prior standard deviation of the logarithm of each number of a line."""
    stated = drawn.provenance.get("prior_sd")
    if not drawn.relative or not isinstance(stated, dict):
        raise InputError(
            "The ensemble says no priors (`prior_sd`, as `mir21sim fit calibrate` "
            "writes), so that prior and posterior cannot be compared."
        )
    squares: dict[str, float] = {}
    for full in drawn.names:
        name, _, line = full.partition(LINE_MARK)
        if name in model.param_names and (not line or line == model.context):
            squares[name] = squares.get(name, 0.0) + float(stated[full]) ** 2
    return {name: square**0.5 for name, square in squares.items()}


def prior_posterior_text(table: "pd.DataFrame") -> list[str]:
    """Return the table of ``prior_posterior`` as lines, with what it says below."""
    rows = tuple(
        (
            str(name),
            _interval(row["prior"], row["prior_low"], row["prior_high"]),
            _interval(row["posterior"], row["posterior_low"], row["posterior_high"]),
            f"{row['width_ratio']:.2f}",
        )
        for name, row in table.iterrows()
    )
    titles = ("number", "prior (95 %)", "posterior (95 %)", "ratio")
    told = int((table["width_ratio"] < TOLD).sum())
    return [
        *lines_of(TextTable(titles, rows, frozenset({3}))),
        "",
        "ratio: width of the posterior interval over that of the prior, both of the",
        (
            f"logarithms; 1: the data told nothing. Below {TOLD:g} in {told} of "
            f"{len(table)} numbers;"
        ),
        "above 0.9 it cannot be told from 1. Data hold combinations of numbers better",
        "than each number alone, so that predictions can be narrower than the numbers.",
    ]


def _interval(middle: float, low: float, high: float) -> str:
    return f"{middle:.4g} ({rounded(low)} to {rounded(high)})"
