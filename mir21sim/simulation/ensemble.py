"""Ensembles: sets of parameter values drawn from a posterior, and bands of results.

An ensemble is one file (netCDF) with its provenance. Every simulation with an ensemble
has the dimension ``draw``; ``bands`` turns it into a median with 50 and 95 % bands.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import xarray as xr

from mir21sim import files
from mir21sim._typing import FloatArray
from mir21sim.compiler.model import CompiledModel
from mir21sim.errors import InputError, UnknownNameError

DRAW = "draw"
"""Name of the dimension of an ensemble."""

QUANTILES = (0.025, 0.25, 0.5, 0.75, 0.975)
"""Ends of the 95 % band, of the 50 % band, and the median."""

FORMAT = "mir21sim ensemble 1"


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """Draws of parameters of a model.

    Attributes
    ----------
    names : parameters or species of the model
    values : float array, shape (n_draw, n_name), on the linear scale
    provenance : how the draws were made
    """

    names: tuple[str, ...]
    values: FloatArray
    provenance: Mapping[str, Any] = field(default_factory=dict)

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
        return cls(
            tuple(map(str, data["parameter"].values)),
            np.asarray(data["values"].values, float),
            json.loads(data.attrs["provenance"]),
        )

    def save(self, path: str | Path) -> Path:
        """Write the ensemble to one netCDF file."""
        path = files.check_writable(path, (".nc",))
        data = xr.Dataset(
            {"values": ((DRAW, "parameter"), self.values)},
            coords={"parameter": list(self.names)},
            attrs={"format": FORMAT, "provenance": json.dumps(dict(self.provenance))},
        )
        with files.writing(path) as part:
            data.to_netcdf(part, engine="h5netcdf")
        return path

    def cells(self, model: CompiledModel) -> dict[str, FloatArray]:
        """Return the columns that a model has.

        Raises
        ------
        UnknownNameError
            For an ensemble of another model: none of its names is known.
        """
        known = {*model.param_names, *model.state_names}
        found = {
            name: self.values[:, k]
            for k, name in enumerate(self.names)
            if name in known
        }
        if not found:
            raise UnknownNameError(
                "parameter of the ensemble", self.names[0], sorted(known)
            )
        return found


EnsembleLike: TypeAlias = Ensemble | str | Path


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
    """
    if DRAW not in result.dims:
        raise InputError("Bands need the results of an ensemble (dimension `draw`).")
    chosen = names or [
        str(n)
        for n, v in result.data_vars.items()
        if DRAW in v.dims and v.dtype.kind == "f"
    ]
    made = result[list(chosen)].quantile(list(QUANTILES), dim=DRAW, skipna=True)
    for name in chosen:
        made[name].attrs = dict(result[name].attrs)
    if "status" in result:
        made["n_failed"] = (result["status"] != 0).sum(DRAW)
    made.attrs = dict(result.attrs)
    return made


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
