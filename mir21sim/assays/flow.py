"""Annexin V/PI flow cytometry: events, compensation, gates, quadrants. Layer 15.

A cell is Annexin V positive by the phosphatidylserine (PS) that it exposes, in
proportion. The model follows the ruptured membrane of a cell as a probability, so each
event of that cell is PI positive with that probability.
"""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mir21sim import results
from mir21sim._typing import BoolArray, FloatArray
from mir21sim.assays.assay import (
    Reading,
    at_time,
    control_of,
    dishes_of,
    no_signal,
    own,
    replicates_of,
    stream,
)
from mir21sim.assays.noise import FlowNoise
from mir21sim.assays.statistics import Test, summary_rows
from mir21sim.bench import Sample
from mir21sim.compiled import CompiledModel, unique
from mir21sim.errors import InputError

PS, RUPTURED = "PS_exposed", "membrane_ruptured"
CHANNELS = ("FSC-A", "SSC-A", "FITC-A", "PI-A")
LABELS = ("", "", "Annexin V-FITC", "propidium iodide")
QUADRANTS = ("viable", "early apoptotic", "late apoptotic", "necrotic")
"""Annexin V−/PI−, +/−, +/+ and −/+."""

MAX_EVENTS = 1_000_000
"""Events of one tube; a cytometer records 10,000 to 100,000."""

CONTROL_EVENTS = 5000
"""Events of each bead and staining control."""


@dataclass(frozen=True, slots=True)
class Gates:
    """Where events are cells, and where cells are positive (compensated, a.u.).

    Attributes
    ----------
    scatter : least FSC of a cell; what is below is debris
    annexin, pi : least FITC and PI signal of a positive cell
    """

    scatter: float
    annexin: float
    pi: float

    def __post_init__(self) -> None:
        for label, value in (
            ("scatter", self.scatter),
            ("annexin", self.annexin),
            ("pi", self.pi),
        ):
            if not math.isfinite(value):
                raise InputError(f"The gate `{label}` must be finite, got {value}.")


@dataclass(frozen=True, slots=True, eq=False)
class Tube:
    """The events of one tube as the cytometer saw them, not compensated.

    Attributes
    ----------
    events : float array, shape (n_event, 4), in the order of ``CHANNELS``
    true_annexin, true_pi : bool arrays, shape (n_event,): what the event really is
    is_cell : bool array, shape (n_event,), False for debris
    """

    sample: str
    replicate: int
    events: FloatArray
    true_annexin: BoolArray
    true_pi: BoolArray
    is_cell: BoolArray


@dataclass(frozen=True, slots=True, eq=False)
class FlowReading(Reading):
    """A reading with its events, the spillover found in the beads, and the gates.

    Attributes
    ----------
    tubes : one a sample and replicate
    spillover : float array, shape (2, 2): row the dye, column the detector
    gates : the same for all tubes
    """

    tubes: tuple[Tube, ...] = ()
    spillover: FloatArray = field(default_factory=lambda: np.eye(2))
    gates: Gates = field(default_factory=lambda: Gates(0.0, 0.0, 0.0))


@dataclass(frozen=True, slots=True)
class FlowCytometry:
    """An Annexin V-FITC/PI measurement of every sample.

    Parameters
    ----------
    events : events recorded in each tube, debris included
    positive_ps : share of PS exposed from which a cell counts as Annexin V positive,
        where the gate lies between the negative and the positive peak on a log axis
        (assumed)
    time_h : when cells are harvested; by default at the last time kept
    control : sample that ratios are relative to; by default the first
    gates : in place of those set by the controls
    """

    events: int = 10_000
    positive_ps: float = 0.1
    time_h: float | None = None
    control: str | None = None
    gates: Gates | None = None
    noise: FlowNoise = field(default_factory=FlowNoise)

    def __post_init__(self) -> None:
        if not 1 <= self.events <= MAX_EVENTS:
            raise InputError(
                f"`events` must be 1 to {MAX_EVENTS:,}, got {self.events:,}."
            )
        if not 0 < self.positive_ps < 1:
            raise InputError(
                f"`positive_ps` must lie between 0 and 1, got {self.positive_ps}."
            )

    @property
    def name(self) -> str:
        """``flow``."""
        return "flow"

    def needs(self, model: CompiledModel) -> tuple[str, ...]:
        """Return PS exposure and membrane rupture; a model without is an error."""
        for name in (PS, RUPTURED):
            if name not in (*model.state_names, *model.assigned_names):
                raise InputError(
                    f"Flow cytometry needs the quantity `{name}`, and {model.id} has "
                    "none."
                )
        return PS, RUPTURED

    def dishes(
        self, samples: Sequence[Sample], model: CompiledModel
    ) -> tuple[Sample, ...]:
        """Return none: the cytometer reads the samples of the experiment."""
        return ()

    def read(
        self,
        cells: xr.Dataset,
        *,
        noise: bool = True,
        seed: int = 0,
        replicates: int = 3,
        test: Test = "auto",
    ) -> FlowReading:
        """Return the events of every tube and the share of cells in each quadrant.

        ``raw``: sample, replicate, events, gated (cells, without debris), percent in
        each of ``QUADRANTS``, and ``true …``, the percentages among the events that
        are cells, before the instrument. ``summary``: one row a sample and quadrant,
        and "dead", the sum of early and late; mean and SD are percent.

        Without noise the percentages are the expectation over the cells, exactly, and
        the events are one a cell, without autofluorescence or overlap.

        Raises
        ------
        InputError
            For gates that leave no cells.
        """
        part = at_time(dishes_of(cells), self.time_h)
        names = [str(name) for name in part["sample"].values]
        block = {
            name: part[name].transpose("sample", "cell").values
            for name in (PS, RUPTURED)
        }
        spill = self._beads(seed) if noise else np.eye(2)
        gates = self.gates or self._gates(seed, spill, noise=noise)
        tubes, rows = [], []
        for k, r in itertools.product(
            range(len(names)), range(replicates_of(noise, replicates))
        ):
            known = np.isfinite(block[PS][k])
            if not known.any():
                raise InputError(f"No cell of `{names[k]}` could be run to its end.")
            fate = (block[PS][k][known], block[RUPTURED][k][known])
            rng = stream(seed, self.name, names[k], float(part["time"]), r)
            tube = self._tube(names[k], r + 1, fate, rng, noise=noise)
            shares = quadrants(tube.events, spill, gates, what=tube.sample)
            true = _true_shares(tube)
            if not noise:
                true = shares = self._expected(*fate)
            tubes.append(tube)
            rows.append(
                {
                    "sample": names[k],
                    "replicate": r + 1,
                    "events": len(tube.events),
                    "gated": int((tube.events[:, 0] >= gates.scatter).sum()),
                    **shares,
                    **{f"true {name}": value for name, value in true.items()},
                }
            )
        raw = pd.DataFrame(rows)
        summary, notes = self._summary(raw, names, test, noise=noise)
        return FlowReading(self.name, raw, summary, notes, tuple(tubes), spill, gates)

    def _expected(self, ps: FloatArray, ruptured: FloatArray) -> dict[str, float]:
        """Return the percentages that the model expects of its cells."""
        positive = ps >= self.positive_ps
        share = (
            (~positive * (1 - ruptured)).mean(),
            (positive * (1 - ruptured)).mean(),
            (positive * ruptured).mean(),
            (~positive * ruptured).mean(),
        )
        return {q: 100.0 * float(s) for q, s in zip(QUADRANTS, share, strict=True)}

    def _tube(
        self,
        sample: str,
        replicate: int,
        fate: tuple[FloatArray, FloatArray],
        rng: np.random.Generator,
        *,
        noise: bool,
    ) -> Tube:
        """Return the events of one tube, drawn from the cells of a dish."""
        ps, ruptured = fate
        about = self.noise
        if not noise:
            # Each cell once; which of them are ruptured is spread evenly over the draw.
            even = (rng.permutation(len(ps)) + 0.5) / len(ps)
            torn = even < ruptured
            stain = np.stack([ps * about.annexin_full, torn * about.pi_full], axis=1)
            scatter = np.full((len(ps), 2), about.scatter)
            events = np.hstack([scatter, stain])
            cell = np.ones(len(ps), dtype=bool)
            return Tube(sample, replicate, events, ps >= self.positive_ps, torn, cell)
        n = self.events
        is_cell = rng.random(n) >= about.debris
        odds = np.where(
            ps >= self.positive_ps, np.exp(about.dish_sd * rng.standard_normal()), 1.0
        )
        drawn = rng.choice(len(ps), size=n, p=odds / odds.sum())
        annexin, torn = ps[drawn], rng.random(n) < ruptured[drawn]
        annexin, torn = np.where(is_cell, annexin, 0.0), torn & is_cell
        stain = np.stack(
            [
                annexin * about.annexin_full * _factors(rng, n, about.staining_cv),
                torn * about.pi_full * _factors(rng, n, about.staining_cv),
            ],
            axis=1,
        )
        dying = annexin >= self.positive_ps
        events = np.hstack(
            [
                self._scatter(rng, dying, is_cell),
                self._detected(rng, stain, np.where(is_cell, 1.0, 0.1)),
            ]
        )
        return Tube(
            sample, replicate, events.astype(np.float32).astype(float), dying, torn,
            is_cell,
        )  # fmt: skip

    def _scatter(
        self, rng: np.random.Generator, dying: BoolArray, is_cell: BoolArray
    ) -> FloatArray:
        """Return forward and side scatter: dying cells shrink and grow granular."""
        about = self.noise
        n = len(dying)
        spread = np.where(is_cell, about.scatter_cv, about.debris_cv)
        size = np.where(dying, about.shrinkage, 1.0)
        size = np.where(is_cell, size, about.debris_scatter)
        grain = np.where(dying, 0.6, 0.4) * np.where(is_cell, 1.0, about.debris_scatter)
        return np.stack(
            [
                about.scatter * size * _factors(rng, n, spread),
                about.scatter * grain * _factors(rng, n, 1.5 * spread),
            ],
            axis=1,
        )

    def _detected(
        self,
        rng: np.random.Generator,
        stain: FloatArray,
        auto: FloatArray | float = 1.0,
    ) -> FloatArray:
        """Return what the two detectors see of some stains, (n_event, 2)."""
        about = self.noise
        n = len(stain)
        overlap = np.array([[1.0, about.fitc_into_pi], [about.pi_into_fitc, 1.0]])
        own = np.stack(
            [
                about.auto_fitc * auto * _factors(rng, n, about.auto_cv),
                about.auto_pi * auto * _factors(rng, n, about.auto_cv),
            ],
            axis=1,
        )
        light = stain @ overlap + own
        shot = np.sqrt(about.photoelectron * light) * rng.standard_normal((n, 2))
        seen: FloatArray = (
            light + shot + about.electronic_sd * rng.standard_normal((n, 2))
        )
        return seen

    def _beads(self, seed: int) -> FloatArray:
        """Return the spillover that single-stained beads show, row the dye.

        Each dye's beads against unstained ones: the rise of the median in the other
        detector over that in its own.
        """
        rng = stream(seed, self.name, "beads")
        about = self.noise
        blank = np.median(self._detected(rng, np.zeros((CONTROL_EVENTS, 2))), axis=0)
        found = np.eye(2)
        for dye, full in enumerate((about.annexin_full, about.pi_full)):
            stain = np.zeros((CONTROL_EVENTS, 2))
            stain[:, dye] = full * _factors(rng, CONTROL_EVENTS, about.bead_cv)
            rise = np.median(self._detected(rng, stain), axis=0) - blank
            if not rise[dye] > 0:
                raise InputError(
                    f"The {LABELS[2 + dye]} beads are not brighter than unstained "
                    "ones: nothing can be compensated; raise the stain's full signal."
                )
            found[dye] = rise / rise[dye]
        return found

    def _gates(self, seed: int, spill: FloatArray, *, noise: bool) -> Gates:
        """Return gates from controls stained with the other dye and with both.

        Each lies half way, on a log axis, between the 99th percentile of cells without
        the dye (which bear the other) and the 1st of cells that are full of it.
        """
        about = self.noise
        debris = math.sqrt(about.debris_scatter * about.shrinkage) * about.scatter
        if not noise:
            share = self.positive_ps
            return Gates(debris, share * about.annexin_full, 0.5 * about.pi_full)
        rng = stream(seed, self.name, "controls")
        full = np.array([about.annexin_full, about.pi_full])
        n = CONTROL_EVENTS
        limits = []
        for dye in (0, 1):
            positive = full * np.stack(
                [_factors(rng, n, about.staining_cv) for _ in (0, 1)], axis=1
            )
            without = positive.copy()
            without[:, dye] = 0.0
            low, high = (
                compensated(self._detected(rng, stain), spill)[:, dye]
                for stain in (without, positive)
            )
            below = max(float(np.percentile(low, 99)), about.electronic_sd)
            above = max(float(np.percentile(high, 1)), below)
            limits.append(math.sqrt(below * above))
        return Gates(debris, *limits)

    def _summary(
        self, raw: pd.DataFrame, names: list[str], test: Test, *, noise: bool
    ) -> tuple[pd.DataFrame, tuple[str, ...]]:
        """Return one row a sample and quadrant, percent."""
        control = control_of(names, self.control)
        rows, notes = [], []
        shown = {q: raw[q] for q in QUADRANTS}
        shown["dead"] = raw["early apoptotic"] + raw["late apoptotic"]
        for quadrant, values in shown.items():
            groups = {
                name: values[raw["sample"] == name].to_numpy(dtype=float)
                for name in names
            }
            measurable = bool(groups[control].mean() > 0)
            if not measurable:
                notes.append(no_signal(control, f"{quadrant} cells"))
            rows += summary_rows(
                groups,
                control,
                test=test if noise else "none",
                scale="angle",
                measurable=measurable,
                keys={"quadrant": quadrant},
                label="sample",
            )
        return pd.DataFrame(rows), unique(notes)

    def plot(self, reading: Reading) -> Figure:
        """Draw the first tube of each sample with its quadrants."""
        return plot_flow(own(reading, FlowReading, self.name))


def _factors(rng: np.random.Generator, n: int, cv: float | FloatArray) -> FloatArray:
    """Return lognormal factors of mean 1, float array (n,)."""
    spread = np.asarray(np.sqrt(np.log1p(np.square(cv))), dtype=float)
    normal = rng.standard_normal(n)
    return np.asarray(np.exp(spread * normal - spread**2 / 2), dtype=np.float64)


def compensated(fluorescence: FloatArray, spillover: FloatArray) -> FloatArray:
    """Return fluorescence with the overlap of the dyes taken out, (n_event, 2).

    Parameters
    ----------
    spillover : float array, shape (2, 2): row the dye, column the detector

    Examples
    --------
    >>> compensated(np.array([[100.0, 25.0]]), np.array([[1.0, 0.2], [0.0, 1.0]]))
    array([[100.,   5.]])
    """
    return np.asarray(np.linalg.solve(spillover.T, fluorescence.T).T, dtype=np.float64)


def quadrants(
    events: FloatArray, spillover: FloatArray, gates: Gates, *, what: str = "the tube"
) -> dict[str, float]:
    """Return the percentage of cells in each quadrant.

    Parameters
    ----------
    events : float array, shape (n_event, 4), in the order of ``CHANNELS``

    Raises
    ------
    InputError
        When the gates leave no cells.
    """
    cells = events[events[:, 0] >= gates.scatter]
    if not len(cells):
        raise InputError(
            f"The gates leave no cells of `{what}`: no FSC-A reaches {gates.scatter:g} "
            f"(the largest is {events[:, 0].max(initial=0.0):g}); lower `scatter`."
        )
    light = compensated(cells[:, 2:4], spillover)
    annexin, pi = light[:, 0] >= gates.annexin, light[:, 1] >= gates.pi
    return _shares(annexin, pi)


def _shares(annexin: BoolArray, pi: BoolArray) -> dict[str, float]:
    parts = (~annexin & ~pi, annexin & ~pi, annexin & pi, ~annexin & pi)
    return {q: 100.0 * float(p.mean()) for q, p in zip(QUADRANTS, parts, strict=True)}


def _true_shares(tube: Tube) -> dict[str, float]:
    """Return the percentages among the events that are cells, before the instrument."""
    if not tube.is_cell.any():
        return dict.fromkeys(QUADRANTS, math.nan)
    return _shares(tube.true_annexin[tube.is_cell], tube.true_pi[tube.is_cell])


# --------------------------------------------------------------------------- FCS files
def write_fcs(tube: Tube, path: str | Path, spillover: FloatArray) -> Path:
    """Write the events of a tube as an FCS 3.1 file, with the spillover of the beads.

    Raises
    ------
    InputError
        When the extra `flow` is not installed, or the path cannot be written.
    """
    flowio = _flowio()
    path = results.check_writable(path, (".fcs",))
    numbers = ",".join(repr(float(v)) for v in spillover.ravel())
    about = {
        "$CYT": "mir21sim virtual cytometer",
        "$SMNO": _text(tube.sample),
        "$SPILLOVER": f"2,{CHANNELS[2]},{CHANNELS[3]},{numbers}",
    }
    part = results.prepare_output(path)
    try:
        with part.open("wb") as file:
            flowio.create_fcs(
                file,
                tube.events.astype(np.float32).ravel().tolist(),
                list(CHANNELS),
                list(LABELS),
                about,
            )
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return path


def read_fcs(
    path: str | Path, channels: Sequence[str] = CHANNELS
) -> tuple[FloatArray, FloatArray]:
    """Read events and spillover from an FCS file, of this package or of a cytometer.

    Integers of any width, floats, doubles, either byte order; gain and logarithmic
    amplifiers are taken out as the standard says, so all values are linear.

    Parameters
    ----------
    channels : names in the file of forward and side scatter, Annexin V and PI, e.g.
        ``("FSC-A", "SSC-A", "FL1-A", "FL3-A")``; capitals do not matter

    Returns
    -------
    events : float array, shape (n_event, 4)
    spillover : float array, shape (2, 2); without overlap where the file has none

    Raises
    ------
    InputError
        For a file that is missing, broken, or lacks a channel.
    """
    flowio = _flowio()
    path = Path(path)
    if len(channels) != len(CHANNELS):
        raise InputError(
            "`channels` are the names of forward and side scatter, Annexin V and PI, "
            f"got {len(channels)}."
        )
    if not path.is_file():
        raise InputError(f"The FCS file `{path}` does not exist.")
    try:
        with path.open("rb") as file:
            data = flowio.FlowData(file)
        table = np.asarray(data.as_array(), dtype=float)
    except Exception as error:  # a broken file breaks in many ways
        raise InputError(
            f"`{path}` is no FCS file, or a broken one ({type(error).__name__}: "
            f"{error}): export it anew."
        ) from error
    _check_whole(data, table, path)
    names = [name.lower() for name in data.pnn_labels]
    for name in channels:
        if names.count(name.lower()) != 1:
            what = "has more than one" if name.lower() in names else "lacks the"
            raise InputError(
                f"`{path}` {what} channel `{name}`; it has "
                f"{', '.join(data.pnn_labels)}. Name the right ones by `channels`."
            )
    events = table[:, [names.index(name.lower()) for name in channels]]
    if not np.isfinite(events).all():
        event = int(np.argmin(np.isfinite(events).all(axis=1)))
        raise InputError(
            f"`{path}`: the event {event + 1} of {len(events)} is not a number; export "
            "the file anew, without what was not measured."
        )
    return events, _spillover_of(data.text, channels, path)


def _check_whole(data: Any, table: FloatArray, path: Path) -> None:
    """Stop where a file is no list of events, or holds fewer than it says."""
    if data.text.get("mode", "L").upper() != "L":
        raise InputError(
            f"`{path}` holds histograms ($MODE {data.text['mode']}) and no list of "
            "events; export it in list mode."
        )
    said = data.text.get("tot", "").strip()
    if said.isdecimal() and int(said) != len(table):
        raise InputError(
            f"`{path}` is broken: it says it has {int(said)} events and holds "
            f"{len(table)}; export it anew."
        )


def _spillover_of(
    text: Mapping[str, str], channels: Sequence[str], path: Path
) -> FloatArray:
    """Return the matrix of a file's $SPILLOVER keyword."""
    entry = text.get("spillover", text.get("spill", "")).strip()
    if not entry or entry.upper() == "UNDEF":
        return np.eye(2)
    words = [word.strip() for word in entry.split(",")]
    dyes = [name.lower() for name in channels[2:]]
    try:
        n = int(words[0])
        names = [word.lower() for word in words[1 : n + 1]]
        matrix = np.array([float(w) for w in words[n + 1 :]]).reshape(n, n)
        order = [names.index(name) for name in dyes]
    except ValueError as error:
        raise InputError(
            f"`{path}`: $SPILLOVER must hold a matrix of {channels[2]} and "
            f"{channels[3]}, got `{entry[:80]}`."
        ) from error
    found: FloatArray = matrix[np.ix_(order, order)]
    if not (np.isfinite(found).all() and abs(np.linalg.det(found)) > _LEAST_DET):
        raise InputError(
            f"`{path}`: $SPILLOVER of {channels[2]} and {channels[3]} cannot be "
            f"inverted, so nothing can be compensated: `{entry[:80]}`."
        )
    return found


_LEAST_DET = 1e-6
"""Determinant of a spillover matrix whose dyes cannot be told apart."""


def _flowio() -> Any:
    try:
        import flowio
    except ImportError as error:
        raise InputError(
            'FCS files need the extra `flow`: pip install "mir21sim[flow]".'
        ) from error
    return flowio


def _text(value: str) -> str:
    """Return text that an FCS keyword can hold; its own delimiter is a slash."""
    return value.replace("/", "|") or "sample"


# ------------------------------------------------------------------------- the picture
MAX_DOTS = 4000
_LINEAR = 300.0
"""a.u.; the axes are linear between ± this and logarithmic beyond."""


def plot_flow(reading: FlowReading) -> Figure:
    """Draw Annexin V against PI of each sample's first tube, with percentages."""
    tubes = [tube for tube in reading.tubes if tube.replicate == 1]
    rows = math.ceil(len(tubes) / 4)
    columns = math.ceil(len(tubes) / rows)
    figure = Figure(figsize=(3.1 * columns, 3.2 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    for ax in axes.flat:
        ax.tick_params(labelbottom=True, labelleft=True)
    for ax in axes.flat[len(tubes) :]:
        ax.axis("off")
    first = reading.raw[reading.raw["replicate"] == 1].to_dict("records")
    for ax, tube, shares in zip(axes.ravel(), tubes, first, strict=False):
        _plot_tube(ax, tube, reading, shares)
    figure.supxlabel("Annexin V-FITC (compensated, a.u.)", fontsize=10)
    figure.supylabel("propidium iodide (compensated, a.u.)", fontsize=10)
    return figure


def _plot_tube(
    ax: Axes, tube: Tube, reading: FlowReading, shares: Mapping[Any, Any]
) -> None:
    """Draw one tube: a dot an event, coloured by how crowded it is there."""
    gates = reading.gates
    cells = tube.events[tube.events[:, 0] >= gates.scatter][:MAX_DOTS]
    light = compensated(cells[:, 2:4], reading.spillover)
    shown = np.arcsinh(light / _LINEAR)
    low, high = shown.min(axis=0), shown.max(axis=0) + 1e-9
    bins = np.minimum(((shown - low) / (high - low) * 60).astype(int), 59)
    counts = np.zeros((60, 60))
    np.add.at(counts, (bins[:, 0], bins[:, 1]), 1.0)
    crowd = np.log1p(counts[bins[:, 0], bins[:, 1]])
    order = np.argsort(crowd)
    ax.scatter(
        light[order, 0],
        light[order, 1],
        c=crowd[order],
        cmap="viridis",
        s=2,
        linewidths=0,
        rasterized=True,
    )
    for axis in ("x", "y"):
        getattr(ax, f"set_{axis}scale")("symlog", linthresh=_LINEAR, linscale=0.5)
        getattr(ax, f"set_{axis}lim")(-_LINEAR, 6e5)
        getattr(ax, f"set_{axis}ticks")([0, 1e3, 1e4, 1e5])
    ax.axvline(gates.annexin, color="0.25", lw=0.9)
    ax.axhline(gates.pi, color="0.25", lw=0.9)
    corners = {
        "necrotic": (0.03, 0.98, "left"),
        "late apoptotic": (0.98, 0.98, "right"),
        "viable": (0.03, None, "left"),
        "early apoptotic": (0.98, None, "right"),
    }
    below = ax.transAxes.inverted().transform(ax.transData.transform((0, gates.pi)))[1]
    for quadrant, (x, y, ha) in corners.items():
        ax.text(
            x,
            below - 0.02 if y is None else y,
            f"{quadrant}\n{shares[quadrant]:.1f} %",
            transform=ax.transAxes,
            ha=ha,
            va="top",
            fontsize=7.5,
        )
    ax.set_title(f"{tube.sample} ({shares['gated']:,} cells)", fontsize=9)
    ax.spines[["top", "right"]].set_visible(False)
