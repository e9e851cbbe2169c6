"""Versions of this package and of the libraries it uses."""

import importlib.metadata

CORE = (
    "numpy", "scipy", "sympy", "numba", "matplotlib", "python-libsbml", "xarray",
    "pandas", "h5netcdf", "h5py", "pint", "pydantic", "jinja2", "typer", "rich",
)  # fmt: skip


def versions() -> dict[str, str]:
    """Return the version of this package and of each that it stands on."""
    return {name: version_of(name) for name in ("mir21sim", *CORE)}


def version_of(package: str) -> str:
    """Return the installed version of a package, or "missing"."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "missing"
