"""Arrays → the one xarray Dataset shape, and its file.

Swept dimensions × ``time``; one variable per quantity; ``status``, ``message``,
``method``, ``n_steps`` and ``n_events`` on the swept dimensions; units on every
coordinate; provenance in the attributes, enough to run again.
"""

import functools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from mir21sim._typing import FloatArray
from mir21sim.errors import InputError, SolverStatus
from mir21sim.files import check_writable, writing
from mir21sim.simulation import zarr_store
from mir21sim.simulation.netcdf import TooLargeError, read_netcdf, write_netcdf
from mir21sim.solvers.methods import NAMES
from mir21sim.solvers.problem import Solution

CONVENTIONS = "mir21sim-1"
PICTURE_KINDS = (".png", ".svg", ".pdf")
SOURCE_GROUP = "model"
"""Group of the netCDF file that holds the model's texts."""

BOOKKEEPING = ("status", "message", "method", "n_steps", "n_events")
"""Variables of a Dataset that tell about the runs."""

_METHODS = np.array([*NAMES, ""], dtype=object)
"""Names of methods by their numbers in a ``Solution``; the last is no method."""

_MOST_BYTES_PER_BYTE = 1100
"""The strongest compression of zlib: a result that declares more is not there."""

Coordinate = tuple[str, FloatArray, str, str]
"""(name, values, unit, label) of a dimension."""


def variable_name(name: str) -> str:
    """Return the name of a quantity in a Dataset.

    Its own id, but for the few names that every Dataset uses itself: a parameter
    `time` is the variable `time_`.

    Examples
    --------
    >>> variable_name("CASP3"), variable_name("status")
    ('CASP3', 'status_')
    """
    reserved = name.rstrip("_") in {"time", *BOOKKEEPING}
    return f"{name}_" if reserved else name


def dataset(
    axes: Sequence[Coordinate],
    times_h: FloatArray,
    outputs: Sequence[tuple[str, str, str]],
    results: Solution,
    *,
    messages: Sequence[str],
    attributes: Mapping[str, Any],
    time_unit: str = "h",
) -> xr.Dataset:
    """Return results as a Dataset.

    Parameters
    ----------
    axes : the swept dimensions; runs are in C order over them
    times_h : float array, shape (n_time,), in `time_unit`
    outputs : (name, unit, label) of each selected quantity
    results : from the solver, shape (n_run, n_time, n_select)
    messages : one sentence per run, "" for a good one
    attributes : root attributes; values are text or numbers
    """
    shape = tuple(values.size for _, values, *_ in axes)
    data: dict[str, Any] = {
        variable_name(name): results.values[:, :, k].reshape(*shape, times_h.size)
        for k, (name, *_) in enumerate(outputs)
    }
    used = _METHODS[results.method]
    data |= {
        "status": results.status.reshape(shape),
        "message": np.array(messages, dtype=object).reshape(shape),
        "method": used.reshape(shape),
        "n_steps": results.n_steps.reshape(shape),
        "n_events": results.n_events.reshape(shape),
    }
    dims = tuple((name, v.tobytes(), *words) for name, v, *words in axes)
    form = _form(dims, times_h.tobytes(), time_unit, tuple(outputs))
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    root = {"Conventions": CONVENTIONS, "created": stamp, **attributes}
    return _filled(form, data, root)


@dataclass(frozen=True, slots=True, eq=False)
class _Form:
    """A Dataset without numbers and its parts, which take xarray time to list."""

    empty: xr.Dataset
    variables: Mapping[Any, xr.Variable]
    coordinates: frozenset[Any]
    sizes: Mapping[Any, int]
    indexes: Mapping[Any, Any]

    @classmethod
    def of(cls, empty: xr.Dataset) -> "_Form":
        """Return the form of a Dataset."""
        return cls(
            empty,
            dict(empty.variables),
            frozenset(empty.coords),
            dict(empty.sizes),
            dict(empty.xindexes),
        )


def _filled(
    form: _Form, data: Mapping[str, Any], attributes: dict[str, Any]
) -> xr.Dataset:
    """Return a Dataset of the labels of a form with other numbers and attributes.

    ``Dataset.copy`` does the same; it looks at all arrays again, for which a run of a
    small model must wait as long as for its integration.
    """
    if _CONSTRUCT is None:
        made = form.empty.copy(data=data)
        made.attrs = attributes
        return made
    variables: dict[Any, Any] = {
        name: xr.Variable(old.dims, data[name], old.attrs, fastpath=True)
        if name in data
        else old.copy(deep=False)
        for name, old in form.variables.items()
    }
    whole: xr.Dataset = _CONSTRUCT(
        variables,
        coord_names=set(form.coordinates),
        dims=dict(form.sizes),
        attrs=attributes,
        indexes=dict(form.indexes),
    )
    return whole


def extended(
    result: xr.Dataset,
    data: Mapping[str, tuple[FloatArray, Mapping[str, Any]]],
    attributes: Mapping[str, Any],
) -> xr.Dataset:
    """Return a result with more numbers of each run, and root attributes.

    ``Dataset.assign`` does the same in ten times as long: it aligns what has no
    coordinate of its own.

    Parameters
    ----------
    data : name to (values of the shape of ``status``, attributes)
    """
    dims = result["status"].dims
    added: dict[Any, Any] = {
        name: xr.Variable(dims, values, words, fastpath=True)
        for name, (values, words) in data.items()
    }
    if _CONSTRUCT is None:
        return result.assign(added).assign_attrs(attributes)
    whole: xr.Dataset = _CONSTRUCT(
        dict(result.variables) | added,
        coord_names=set(result.coords),
        dims=dict(result.sizes),
        attrs={**result.attrs, **attributes},
        indexes=dict(result.xindexes),
    )
    return whole


_CONSTRUCT: Any = getattr(xr.Dataset, "_construct_direct", None)
"""Makes a Dataset of parts that fit, without a look at them."""


@functools.lru_cache(maxsize=8)
def _form(
    axes: tuple[tuple[str, bytes, str, str], ...],
    times: bytes,
    time_unit: str,
    outputs: tuple[tuple[str, str, str], ...],
) -> _Form:
    """Return a Dataset with coordinates and labels; its numbers take no memory.

    Results of equal plans differ in their numbers only. To check the labels of 80
    variables takes xarray a millisecond, to exchange their numbers a third of it.

    Parameters
    ----------
    axes : as in ``dataset``, with the bytes of the values
    times : bytes of the output times
    """
    coords: dict[str, Any] = {
        variable_name(name): (
            variable_name(name),
            _index(np.frombuffer(values)),
            {"units": unit, "long_name": label},
        )
        for name, values, unit, label in axes
    }
    names = list(coords)
    coords["time"] = time_coordinate(np.frombuffer(times), time_unit)
    shape = tuple(values.size for _, values, _ in coords.values())
    number = np.broadcast_to(np.nan, shape)
    data = quantities(outputs, [*names, "time"], [number] * len(outputs))
    count = np.broadcast_to(0, shape[:-1])
    text = np.broadcast_to(np.array("", dtype=object), shape[:-1])
    data["status"] = (names, count, status_attributes())
    data["message"] = (names, text)
    data["method"] = (names, text)
    data["n_steps"] = (names, count, {"units": "1"})
    events = {"units": "1", "long_name": "events of the model executed"}
    data["n_events"] = (names, count, events)
    return _Form.of(xr.Dataset(data, coords=coords))


def quantities(
    outputs: Sequence[tuple[str, str, str]],
    dims: Sequence[str],
    values: Sequence[FloatArray],
) -> dict[str, Any]:
    """Return the variables of some outputs, (name, unit, label) each."""
    return {
        variable_name(name): (dims, value, {"units": unit, "long_name": label})
        for (name, unit, label), value in zip(outputs, values, strict=True)
    }


def time_coordinate(times: FloatArray, unit: str = "h") -> tuple[str, Any, Any]:
    """Return the coordinate of the output times."""
    return "time", _index(times), {"units": unit, "long_name": "time"}


def _index(values: FloatArray) -> "pd.Index[float]":
    """Return the values of a dimension, of which xarray makes an index without pint.

    To make one of an array it imports pint: 0.3 s at a cold start.
    """
    return pd.Index(values)


def status_attributes() -> dict[str, Any]:
    """Return the CF flag attributes of a status variable."""
    return {
        "long_name": "how the run ended",
        "flag_values": np.array([int(s) for s in SolverStatus]),
        "flag_meanings": " ".join(s.name for s in SolverStatus),
    }


RESULT_KINDS = (".nc", zarr_store.SUFFIX)
"""Endings of results that can be run again: one netCDF file, or a zarr folder."""


def check_place(path: str | Path, kinds: Sequence[str] = RESULT_KINDS) -> Path:
    """Return the path of an output after checking that it can be made there.

    Raises
    ------
    InputError
        For another ending, or a place that cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() == zarr_store.SUFFIX and zarr_store.SUFFIX in kinds:
        return zarr_store.check_place(path)
    return check_writable(path, kinds)


def save(result: xr.Dataset, path: str | Path, source: Mapping[str, str]) -> Path:
    """Write a result and its model's texts to one netCDF file or zarr folder.

    The file or folder takes its name in one move.

    Raises
    ------
    InputError
        When the path cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() == zarr_store.SUFFIX:
        return zarr_store.save(result, path, source)
    path = check_writable(path, RESULT_KINDS)
    encoding = {
        str(name): {"compression": "gzip", "compression_opts": 4}
        for name, variable in result.data_vars.items()
        if variable.dtype.kind == "f" and variable.nbytes > _SMALL
    }
    texts = {role: ((), np.array(text, dtype=object)) for role, text in source.items()}
    with writing(path) as part:
        write_netcdf(part, {None: result, SOURCE_GROUP: xr.Dataset(texts)}, encoding)
    return path


_SMALL = 4096
"""Bytes of a variable that are not worth the 10 kB of the index of its chunks."""


def read(path: str | Path) -> xr.Dataset:
    """Read a result: a file whole into memory, of a zarr folder what is used.

    Raises
    ------
    InputError
        When the file is missing, truncated, or not a result of this package.

    Examples
    --------
    >>> import mir21sim as ms
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = tempfile.TemporaryDirectory()
    >>> model = ms.load("earm_1_3", backend="numpy")
    >>> result = ms.simulate(model, "10 min", points=3, observe="CASP8_active")
    >>> path = ms.save(result, Path(folder.name) / "run.nc")
    >>> ms.open(path).identical(result)
    True
    >>> folder.cleanup()
    """
    folder = Path(path).suffix.lower() == zarr_store.SUFFIX
    result = zarr_store.read(Path(path)) if folder else _open(path, None)
    if result.attrs.get("Conventions") != CONVENTIONS:
        raise InputError(
            f"`{path}` is not a mir21sim result (Conventions "
            f"`{result.attrs.get('Conventions', 'missing')}`, expected "
            f"`{CONVENTIONS}`)."
        )
    return result


def read_source(path: str | Path) -> dict[str, str]:
    """Return the model texts kept in a result file."""
    if Path(path).suffix.lower() == zarr_store.SUFFIX:
        return zarr_store.read_source(Path(path))
    group = _open(path, SOURCE_GROUP)
    return {str(role): str(text.item()) for role, text in group.data_vars.items()}


def _open(path: str | Path, group: str | None) -> xr.Dataset:
    path = Path(path)
    if not path.is_file():
        raise InputError(f"The result file `{path}` does not exist.")
    size = path.stat().st_size
    try:
        return read_netcdf(path, group, _MOST_BYTES_PER_BYTE * size + 2**20)
    except TooLargeError as error:
        raise InputError(
            f"`{path}` cannot be read as a result: it declares "
            f"{error.declared / 2**30:.3g} GiB of numbers, which a file of "
            f"{size / 2**20:.3g} MiB does not hold."
        ) from error
    except Exception as error:  # HDF5 raises many kinds for a damaged file
        raise InputError(
            f"`{path}` cannot be read as a result: it is damaged or not netCDF "
            f"({' '.join(str(error).split())[:120]})."
        ) from error


def provenance(result: xr.Dataset, *, doses_only: bool = False) -> dict[str, Any]:
    """Return how a result was made, from its ``provenance`` attribute.

    Parameters
    ----------
    doses_only : check the doses and nothing else

    Raises
    ------
    InputError
        When there is none, or when it is not as this package writes it.
    """
    from mir21sim.simulation import record  # pydantic takes 0.1 s

    text = result.attrs.get("provenance")
    if not isinstance(text, str):
        raise InputError("The result has no provenance, so it cannot be run again.")
    return record.parsed(text, doses_only=doses_only)


def result_frame(result: xr.Dataset) -> pd.DataFrame:
    """Return a result in long form: one row a run and time, one column a quantity."""
    keep = [n for n in result.data_vars if "time" in result.variables[n].dims]
    return result[keep].to_dataframe().reset_index()
