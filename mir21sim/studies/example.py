"""The example study, to begin one's own with; needs nothing that takes time to load."""

from importlib.resources import files
from pathlib import Path

from mir21sim import files as output_files
from mir21sim.errors import InputError


def new_study(path: str | Path) -> Path:
    """Write an example study with comments; a file that is there is not replaced."""
    path = Path(path)
    if path.suffix != ".toml":
        raise InputError(f"`{path.name}` must end in .toml.")
    if path.exists():
        raise InputError(f"`{path}` exists; give another name.")
    return output_files.write_text(path, example_text())


def example_text() -> str:
    """Return the example study that ``new_study`` writes."""
    return files("mir21sim.studies").joinpath("example.toml").read_text("utf-8")
