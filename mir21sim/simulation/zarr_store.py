"""Results as a zarr folder: for sweeps that do not fit into memory.

The folder is written beside its place and takes its name in one move. It holds numbers
only: texts are numbers with a list of their values in the attributes. A folder of a
stranger is checked before a number of it is decoded, since zarr's older formats can
name codecs that run code: format 3, known codecs, no links, and no more numbers than
its bytes can hold.
"""

import contextlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import xarray as xr

from mir21sim import files
from mir21sim.errors import InputError

SUFFIX = ".zarr"

CODECS = frozenset({"bytes", "zstd", "blosc", "gzip", "crc32c", "transpose"})
"""Codecs of zarr format 3 that only move and pack bytes."""

KINDS = frozenset(
    {"bool", "float32", "float64"}
    | {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}
)
"""Data types that are numbers."""

TEXTS = "mir21sim_texts"
"""Attribute of a variable of texts: the list into which its numbers point."""

SOURCE = "mir21sim_model"
"""Attribute of the root: the texts of the model, as JSON."""

MOST_BYTES_PER_BYTE = 1100
"""As for netCDF: a result that declares more is not there."""

CHUNK_BYTES = 1 << 23
"""Bytes of a chunk, uncompressed: some runs with all of their times."""

MOST_METADATA = 1 << 28
"""Bytes that a `zarr.json` may have; the cells of a population stand in it."""


def check_place(path: Path) -> Path:
    """Return the path of a result folder after checking that it can be made there.

    A folder of that name is replaced if it is a zarr folder, else refused.

    Raises
    ------
    InputError
        Before any work is done that could not be kept.
    """
    _zarr()
    try:
        there = path.exists() or path.is_symlink()
        if there and not (path / "zarr.json").is_file():
            raise InputError(
                f"`{path}` is there and is no zarr folder; give another name."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        part = _part(path)
        part.mkdir()
        part.rmdir()
    except OSError as error:
        raise InputError(
            f"`{path}` cannot be written: {files.reason(error)}."
        ) from error
    return path


def save(result: xr.Dataset, path: Path, source: Mapping[str, str]) -> Path:
    """Write a result and its model's texts to a zarr folder, in one move.

    Raises
    ------
    InputError
        When the folder cannot be written.
    """
    check_place(path)
    part = _part(path)
    plain = _numbers(result)
    plain.attrs[SOURCE] = json.dumps(dict(source))
    encoding = {
        str(name): {"chunks": _chunks(variable)}
        for name, variable in plain.variables.items()
        if variable.ndim
    }
    try:
        plain.to_zarr(part, zarr_format=3, consolidated=False, encoding=encoding)
        _take_place(part, path)
    except OSError as error:
        raise InputError(
            f"`{path}` cannot be written: {files.reason(error)}."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return path


def read(path: Path) -> xr.Dataset:
    """Return a result whose numbers are read when they are used.

    Raises
    ------
    InputError
        For a folder that is damaged, not zarr, or not safe to read.
    """
    _zarr()
    opened = _opened(path)
    opened.attrs.pop(SOURCE, None)
    for name, variable in opened.variables.items():
        if TEXTS in variable.attrs:
            words = np.array(json.loads(variable.attrs[TEXTS]), dtype=object)
            codes = variable.values
            if codes.size and not (codes.min() >= 0 and codes.max() < len(words)):
                raise _damaged(path, f"`{name}` points beyond its texts")
            attributes = {k: v for k, v in variable.attrs.items() if k != TEXTS}
            opened[name] = (variable.dims, words[codes], attributes)
    return opened


def read_source(path: Path) -> dict[str, str]:
    """Return the texts of the model in a result folder."""
    _zarr()
    text = _opened(path).attrs.get(SOURCE)
    try:
        found = json.loads(text or "")
    except json.JSONDecodeError as error:
        raise _damaged(path, "it holds no model") from error
    if not isinstance(found, dict) or not all(
        isinstance(value, str) for value in found.values()
    ):
        raise _damaged(path, "its model is not text")
    return found


def _zarr() -> None:
    """Stop with a sentence where zarr is not installed."""
    try:
        import zarr  # noqa: F401
    except ImportError as error:
        raise InputError(
            'Results as .zarr need the extra `zarr`: pip install "mir21sim[zarr]".'
        ) from error


def _opened(path: Path) -> xr.Dataset:
    """Return the Dataset of a folder that is safe to read."""
    if not path.is_dir():
        raise InputError(f"The result folder `{path}` does not exist.")
    declared = _declared(path)
    held = sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    if declared > MOST_BYTES_PER_BYTE * held + 2**20:
        raise InputError(
            f"`{path}` cannot be read as a result: it declares {declared / 2**30:.3g} "
            f"GiB of numbers, which a folder of {held / 2**20:.3g} MiB does not hold."
        )
    try:
        return cast(
            "xr.Dataset",
            xr.open_zarr(
                path,
                chunks=None,
                consolidated=False,
                zarr_format=3,
                decode_timedelta=False,
            ),
        )
    except Exception as error:  # zarr raises many kinds for a damaged folder
        raise _damaged(path, " ".join(str(error).split())[:120]) from error


def _declared(path: Path) -> int:
    """Return the bytes that the arrays of a folder declare, after checking them."""
    total = 0
    for place in path.rglob("*"):
        if place.is_symlink():
            raise _damaged(path, f"`{place.name}` is a link")
        if place.name in (".zarray", ".zgroup", ".zattrs"):
            raise _damaged(path, "it is of zarr format 2")
    root = path / "zarr.json"
    if not root.is_file():
        raise _damaged(path, "it has no zarr.json")
    for place in path.rglob("zarr.json"):
        about = _metadata(path, place)
        if about.get("node_type") == "array":
            total += _array_bytes(path, about)
    return total


def _metadata(path: Path, place: Path) -> dict[str, Any]:
    if place.stat().st_size > MOST_METADATA:
        raise _damaged(path, f"`{place.name}` is too large")
    try:
        about = json.loads(place.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise _damaged(path, f"`{place.name}` is not JSON") from error
    if not isinstance(about, dict) or about.get("zarr_format") != 3:
        raise _damaged(path, "it is not of zarr format 3")
    if "consolidated_metadata" in about and about["consolidated_metadata"] is not None:
        raise _damaged(path, "it has consolidated metadata, which are not checked")
    return about


def _array_bytes(path: Path, about: Mapping[str, Any]) -> int:
    """Return the bytes of one array; only numbers and plain codecs are accepted."""
    kind, codecs, shape = (about.get(k) for k in ("data_type", "codecs", "shape"))
    if not isinstance(kind, str) or kind not in KINDS:
        raise _damaged(path, f"an array is of type {kind!r:.40}, not numbers")
    names = [c.get("name") for c in codecs or () if isinstance(c, dict)]
    strange = [name for name in names if name not in CODECS]
    if strange or not isinstance(codecs, list) or len(names) != len(codecs):
        raise _damaged(path, f"an array has the codec {strange or codecs!r:.60}")
    if about.get("storage_transformers"):
        raise _damaged(path, "an array has storage transformers")
    if not isinstance(shape, list) or not all(
        isinstance(n, int) and n >= 0 for n in shape
    ):
        raise _damaged(path, f"an array has the shape {shape!r:.60}")
    size = 1
    for n in shape:
        size *= n
    return size * np.dtype(kind).itemsize


def _damaged(path: Path, why: str) -> InputError:
    return InputError(
        f"`{path}` cannot be read as a result: it is damaged or not zarr ({why})."
    )


def _numbers(result: xr.Dataset) -> xr.Dataset:
    """Return a result with its texts as numbers, and attributes that JSON has."""
    plain = result.copy()
    plain.attrs = {key: _json(value) for key, value in result.attrs.items()}
    for name, variable in result.variables.items():
        attributes = {key: _json(value) for key, value in variable.attrs.items()}
        if variable.dtype.kind in "OUS":
            texts, codes = np.unique(variable.values.astype(str), return_inverse=True)
            attributes[TEXTS] = json.dumps(texts.tolist())
            codes = codes.reshape(variable.shape).astype(np.int32)
            plain[name] = (variable.dims, codes, attributes)
        else:
            plain[name].attrs = attributes
            plain[name].encoding = {}
    return plain


def _json(value: Any) -> Any:
    """Return an attribute as JSON takes it."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value


def _chunks(variable: xr.Variable) -> tuple[int, ...]:
    """Return the shape of a chunk: whole along the last axes, up to ``CHUNK_BYTES``."""
    left = max(1, CHUNK_BYTES // variable.dtype.itemsize)
    chunks: list[int] = []
    for n in reversed(variable.shape):
        chunks.append(max(1, min(n, left)))
        left = max(1, left // max(1, n))
    return tuple(reversed(chunks))


def _part(path: Path) -> Path:
    return path.parent / f".{path.name[:40]}.{files.unique()}.part"


def _take_place(part: Path, path: Path) -> None:
    """Give a finished folder its name; one that is there goes last."""
    old = _part(path) if path.exists() else None
    if old is not None:
        path.replace(old)
    try:
        part.replace(path)
    except OSError:
        if old is not None:
            with contextlib.suppress(OSError):
                old.replace(path)
        raise
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)
