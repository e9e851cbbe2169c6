"""Ensembles: sets of parameter values drawn from a posterior, and bands of results.

An ensemble is one file (netCDF) with its provenance. Every simulation of one cell with
an ensemble has the dimension ``draw``; ``bands`` turns it into a median with 50 and
95 % bands. Cells of a dish are spread over the draws (``simulation.spread``).

The ensemble of a shipped model lies beside it, ``models/NAME.ensemble.nc``. Its values
are factors on the numbers of the model, so that one file serves every cell line; a name
``k_syn_MCL1@HeLa`` is a factor for that line alone, on top of the common one.
"""

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from mir21sim import files
from mir21sim._typing import FloatArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, UnknownNameError
from mir21sim.model import files as model_files

DRAW = "draw"
"""Name of the dimension of an ensemble."""

QUANTILES = (0.025, 0.25, 0.5, 0.75, 0.975)
"""Ends of the 95 % band, of the 50 % band, and the median."""

FORMAT = "mir21sim ensemble 1"

LOG_STEP = 5e-4
"""Step of the logarithms of factors in a file."""

LINE_MARK = "@"
"""Stands between a name and the one cell line that its factor is for."""


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """Draws of parameters of a model.

    Attributes
    ----------
    names : parameters or species of the model; of a relative ensemble also
        ``NAME@LINE``, a factor for one cell line alone
    values : float array, shape (n_draw, n_name), on the linear scale
    provenance : how the draws were made; ``digests`` has the SHA-256 of the model that
        they belong to, by cell line ("" for none)
    relative : whether the values are factors on the numbers of the model

    Examples
    --------
    >>> import mir21sim as ms
    >>> draws = ms.Ensemble(("k",), [[0.9], [1.0], [1.1]])
    >>> len(draws)
    3
    """

    names: tuple[str, ...]
    values: FloatArray
    provenance: Mapping[str, Any] = field(default_factory=dict)
    relative: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", np.asarray(self.values, np.float64))
        if self.values.ndim != 2 or self.values.shape[1] != len(self.names):
            raise InputError(
                f"The values of an ensemble must have shape (n_draw, {len(self.names)})"
                f", got {self.values.shape}."
            )
        if not len(self.values) or not np.isfinite(self.values).all():
            raise InputError("An ensemble needs one draw or more, all finite.")

    def __len__(self) -> int:
        return len(self.values)

    def __repr__(self) -> str:
        named = ", ".join(self.names[:6]) + ", …" * (len(self.names) > 6)
        how = self.provenance.get("how", "")
        what = "factors on" if self.relative else "of"
        text = f"{len(self)} draws {what} {len(self.names)} numbers ({named})"
        return f"Ensemble: {text}" + f"; {how}" * bool(how)

    @classmethod
    def of(cls, given: "EnsembleLike") -> "Ensemble":
        """Return an ensemble, read from a file where a path is given."""
        return given if isinstance(given, Ensemble) else cls.load(given)

    @classmethod
    def load(cls, path: str | Path) -> "Ensemble":
        """Read an ensemble.

        Raises
        ------
        InputError
            For a missing file, or one that is no ensemble.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"The ensemble `{path}` does not exist.")
        try:
            with xr.open_dataset(path, engine="h5netcdf") as stored:
                data = stored.load()
        except (OSError, ValueError) as error:
            raise InputError(f"`{path}` is not an ensemble: {error}.") from error
        if data.attrs.get("format") != FORMAT:
            raise InputError(f"`{path}` is not an ensemble of mir21sim.")
        logs = "log_values" in data
        values = np.asarray(data["log_values" if logs else "values"].values, float)
        return cls(
            tuple(map(str, data["parameter"].values)),
            np.exp(values) if logs else values,
            json.loads(data.attrs["provenance"]),
            logs,
        )

    def save(self, path: str | Path) -> Path:
        """Write the ensemble to one netCDF file."""
        path = files.check_writable(path, (".nc",))
        name = "log_values" if self.relative else "values"
        values = np.log(self.values) if self.relative else self.values
        data = xr.Dataset(
            {name: ((DRAW, "parameter"), values)},
            coords={"parameter": list(self.names)},
            attrs={"format": FORMAT, "provenance": json.dumps(dict(self.provenance))},
        )
        # Factors are kept to a twentieth of a percent: 500 draws stay a small file.
        packed = {"dtype": "int16", "scale_factor": LOG_STEP, "_FillValue": -(2**15)}
        small = {name: {**packed, "zlib": True, "complevel": 9}}
        with files.writing(path) as part:
            data.to_netcdf(
                part, engine="h5netcdf", encoding=small if self.relative else None
            )
        return path

    def first(self, n: int) -> "Ensemble":
        """Return the first n draws, all where there are no more."""
        return replace(self, values=self.values[:n])

    def digest(self) -> str:
        """Return the SHA-256 of names and values."""
        content = hashlib.sha256(json.dumps([self.names, self.relative]).encode())
        content.update(np.ascontiguousarray(self.values).tobytes())
        return content.hexdigest()

    def check(self, model: CompiledModel) -> None:
        """Stop where the draws belong to another version of the model.

        Raises
        ------
        InputError
            Naming both versions by the start of their SHA-256.
        """
        made = self.provenance
        own = made.get("digests", {})
        if not own and made.get("model") == model.id:
            own = {made.get("context", ""): made.get("model_sha256", model.digest)}
            if model.context not in own:
                return
        if not own:
            return
        if made.get("model", model.id) != model.id:
            raise InputError(
                f"The ensemble belongs to the model `{made['model']}`, not to "
                f"`{model.id}`; use --no-ensemble (in Python `ensemble=None`)."
            )
        line = model.context or "no cell line"
        if own.get(model.context) != model.digest:
            there = str(own.get(model.context, "none"))[:12]
            raise InputError(
                f"The ensemble belongs to another version of {model.id} ({line}): "
                f"made {made.get('created', 'at an unknown time')} by mir21sim "
                f"{made.get('mir21sim', '?')} for the content {there}, this model is "
                f"{model.digest[:12]}. Make it anew (`mir21sim fit calibrate`), or use "
                "--no-ensemble (in Python `ensemble=None`)."
            )

    def cells(self, model: CompiledModel) -> dict[str, FloatArray]:
        """Return the values of each draw by the names that a model has.

        Returns
        -------
        parameter or species to float array, shape (n_draw,), in the model's units

        Raises
        ------
        InputError
            For an ensemble of another version of the model.
        UnknownNameError
            For an ensemble of another model: none of its names is known.
        """
        self.check(model)
        own = dict(zip(model.param_names, model.p0, strict=True))
        own |= dict(zip(model.state_names, model.y0, strict=True))
        found: dict[str, FloatArray] = {}
        for k, full in enumerate(self.names):
            name, _, line = full.partition(LINE_MARK)
            if name not in own or (line and line != model.context):
                continue
            start = float(own[name]) if self.relative else 1.0
            found[name] = self.values[:, k] * found.get(name, start)
        if not found:
            raise UnknownNameError(
                "parameter of the ensemble", self.names[0], sorted(own)
            )
        return found


EnsembleLike: TypeAlias = Ensemble | str | Path


def shipped_path(model: str) -> Path:
    """Return where the ensemble of a shipped model lies, if it has one."""
    return model_files.models_folder() / f"{model}.ensemble.nc"


def shipped(model: CompiledModel) -> Ensemble | None:
    """Return the ensemble of a shipped model; None where it has none.

    Raises
    ------
    InputError
        For an ensemble of another version of the model.
    """
    path = shipped_path(model.id)
    if model.id not in model_files.shipped() or not path.is_file():
        return None
    found = Ensemble.load(path)
    found.check(model)
    return found


def bands(result: xr.Dataset, names: Sequence[str] | None = None) -> xr.Dataset:
    """Return the quantiles of an ensemble's results over its draws.

    Draws that failed are left out; their number is in ``n_failed``.

    Parameters
    ----------
    result : with the dimension ``draw``
    names : variables; by default all numbers that depend on the draw

    Returns
    -------
    Dataset with the dimension ``quantile`` in place of ``draw``

    Examples
    --------
    >>> import mir21sim as ms
    >>> import numpy as np
    >>> import xarray as xr
    >>> draws = xr.Dataset({"A": (("draw", "time"), np.arange(101.0)[:, None])})
    >>> ms.bands(draws)["A"].sel(quantile=0.5).item()
    50.0
    """
    if DRAW not in result.dims:
        raise InputError("Bands need the results of an ensemble (dimension `draw`).")
    chosen = names or [
        str(n)
        for n, v in result.data_vars.items()
        if DRAW in v.dims and v.dtype.kind == "f"
    ]
    with warnings.catch_warnings():  # NaN where no draw has a value, as it should be
        warnings.filterwarnings("ignore", "All-NaN slice encountered", RuntimeWarning)
        made = result[list(chosen)].quantile(list(QUANTILES), dim=DRAW, skipna=True)
    for name in chosen:
        made[name].attrs = dict(result[name].attrs)
    if "status" in result:
        made["n_failed"] = (result["status"] != 0).sum(DRAW)
    made.attrs = dict(result.attrs)
    return made


def width_by_status(
    ensemble: Ensemble, prediction: FloatArray, statuses: Mapping[str, str]
) -> dict[str, float]:
    """Return the share of a prediction's spread by the status of its parameters.

    The squared rank correlation of each parameter with the prediction, less the
    1/(n − 1) that n draws of an unrelated number have on average, not below 0; summed
    by status and divided by the sum over all. A few draws say nothing: with 500 draws
    shares of a tenth can be told, with 50 they cannot.

    Parameters
    ----------
    prediction : float array, shape (n_draw,), one number a draw, as in ``carriers``
    statuses : parameter to "measured", "derived", "recalled", "assumed" or "fitted";
        the table of a model gives it: ``dict(model.parameters["status"])``

    Returns
    -------
    status to share, largest first; empty where no parameter goes along with it

    Examples
    --------
    >>> import numpy as np
    >>> x = np.random.default_rng(0).lognormal(size=(500, 2))
    >>> drawn = Ensemble(("a", "b"), x)
    >>> found = width_by_status(drawn, x[:, 0], {"a": "assumed", "b": "measured"})
    >>> round(found["assumed"], 2)
    1.0
    """
    good = int(np.isfinite(np.asarray(prediction, float)).sum())
    sums: dict[str, float] = {}
    for name, share in carriers(ensemble, prediction).items():
        status = statuses.get(name.partition(LINE_MARK)[0], "none")
        above = max(share - 1.0 / (good - 1.0), 0.0)
        sums[status] = sums.get(status, 0.0) + above
    total = sum(sums.values())
    if total == 0.0:
        return {}
    return {k: v / total for k, v in sorted(sums.items(), key=lambda item: -item[1])}


def carriers(ensemble: Ensemble, prediction: FloatArray) -> dict[str, float]:
    """Return the share of a prediction's spread that goes along with each parameter.

    The squared rank correlation between the draws of a parameter and the prediction,
    largest first. Parameters that the data hold together share the spread, so that
    the shares need not add up to 1.

    Parameters
    ----------
    prediction : float array, shape (n_draw,); draws that are not finite are left out

    Raises
    ------
    InputError
        For another number of draws, or fewer than three finite ones.

    Examples
    --------
    >>> import mir21sim as ms
    >>> import numpy as np
    >>> values = np.random.default_rng(0).normal(size=(500, 2))
    >>> shares = ms.carriers(ms.Ensemble(("a", "b"), values), 3 * values[:, 0])
    >>> round(shares["a"], 3), round(shares["b"], 1)
    (1.0, 0.0)
    """
    import scipy.stats

    prediction = np.asarray(prediction, float)
    if prediction.shape != (len(ensemble),):
        raise InputError(
            f"The prediction must have one value for each of {len(ensemble)} draws, "
            f"got shape {prediction.shape}."
        )
    good = np.isfinite(prediction)
    if good.sum() < 3:
        raise InputError("Fewer than three draws have a finite prediction.")
    ranks = scipy.stats.rankdata(prediction[good])
    shares = {}
    for k, name in enumerate(ensemble.names):
        own = scipy.stats.rankdata(ensemble.values[good, k])
        flat = np.ptp(own) == 0.0 or np.ptp(ranks) == 0.0
        r = 0.0 if flat else float(np.corrcoef(own, ranks)[0, 1])
        shares[name] = r * r
    return dict(sorted(shares.items(), key=lambda pair: -pair[1]))
