"""Where models are: the texts of a model and its context, read as they are."""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mir21sim.errors import (
    InputError,
    UnknownNameError,
    hint,
)
from mir21sim.model import toml_lines as toml_text
from mir21sim.model.formats import antimony
from mir21sim.model.formats import guard as texts

BASE = "base"
"""Context name for the numbers of the model file itself."""

SBML_SUFFIXES = (".xml", ".sbml")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The texts that make one model; ``texts`` maps a role to its text.

    Roles: ``sbml`` (always), ``toml``, ``parameters``, ``context`` (where present).
    ``context`` is the id of the context to apply, "" for none.
    """

    name: str
    texts: Mapping[str, str]
    context: str = ""


@functools.cache
def models_folder() -> Path:
    """Return the folder of the shipped models, in a wheel or in a checkout."""
    inside = Path(__file__).parent / "shipped"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "models"


def shipped() -> dict[str, Path]:
    """Return the shipped models: name to SBML file."""
    folder = models_folder()
    return dict(_listed(folder, folder.stat().st_mtime_ns))


@functools.lru_cache(maxsize=4)
def _listed(folder: Path, _changed: int) -> dict[str, Path]:
    """Return the models in a folder as it was when it last changed."""
    return {path.stem: path for path in sorted(folder.glob("*.xml"))}


def contexts(model: str | Path) -> dict[str, Path]:
    """Return the contexts that have values for a model: id to file."""
    stem = Path(model).stem
    known = _context_files(model)
    return {name: path for name, path in known.items() if _has_values(path, stem)}


def _context_files(model: str | Path) -> dict[str, Path]:
    """Return the files of all contexts beside a model: id to file."""
    folder = models_folder()
    if str(model) not in shipped():
        folder = Path(model).resolve().parent
    return {path.stem: path for path in sorted((folder / "contexts").glob("*.toml"))}


def _has_values(context: Path, stem: str) -> bool:
    """Return whether the file of a context has values for the model of a name."""
    text = context.read_text(encoding="utf-8")
    return stem in toml_text.parse(text, context.name).get("models", {})


def find(model: str | Path, context: str | None = None) -> ModelFiles:
    """Return the texts of a model and its context, read but not yet understood."""
    known = shipped()
    path = known.get(str(model)) or Path(model)
    if str(model) not in known:
        check_model_path(path, known)
    text = texts.read_model_file(path)
    if antimony.is_antimony(path):
        text = antimony.antimony_to_sbml(text, path.name)
    if texts.is_hierarchical(text):
        from mir21sim.model.formats import sbml_hierarchy  # libSBML takes 0.2 s

        text = sbml_hierarchy.flattened(text, path)
    roles = {"sbml": text}
    for role, suffix in (("toml", ".toml"), ("parameters", ".parameters.tsv")):
        companion = path.with_name(path.stem + suffix)
        if companion.is_file():
            roles[role] = texts.read_model_file(companion)
    wanted = context
    if wanted is None and "toml" in roles:
        wanted = toml_text.parse(roles["toml"], f"{path.stem}.toml").get(
            "default_context", ""
        )
    if not wanted or wanted == BASE:
        return ModelFiles(path.stem, roles)
    found = _context_files(model).get(wanted)  # to read all files takes 40 ms
    if found is None or not _has_values(found, path.stem):
        offered = (*contexts(model), BASE)
        raise UnknownNameError(f"context for {path.stem}", wanted, offered)
    roles["context"] = found.read_text(encoding="utf-8")
    return ModelFiles(path.stem, roles, wanted)


def check_model_path(path: Path, known: Iterable[str]) -> None:
    """Stop unless a path is an existing file of a kind that can be loaded."""
    suffixes = (*SBML_SUFFIXES, *antimony.SUFFIXES)
    is_model = path.suffix.lower() in suffixes
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix.lower() in suffixes)
        raise InputError(
            f"`{path}` is a folder; name a model file in it. {hint(path.name, inside)}"
        )
    if not path.is_file():
        if not is_model:
            raise UnknownNameError("model", str(path), tuple(known))
        raise InputError(
            f"The model file `{path}` does not exist. {_near_files(path, suffixes)}"
        )
    if path.suffix.lower() == ".nc":
        raise InputError(
            f"`{path.name}` is a result, not a model; `mir21sim rerun {path.name}` "
            "runs the model it holds."
        )
    if not is_model:
        raise InputError(
            f"A model file must end in .xml, .sbml or .ant, got `{path.name}`."
        )


def _near_files(path: Path, suffixes: Iterable[str]) -> str:
    """Return the model files beside a missing one, the near name first."""
    folder = path.parent
    if not folder.is_dir():
        return f"There is no folder `{folder}`."
    inside = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in suffixes)
    return hint(path.name, inside)


DEFAULT_MODEL = "mir21_apoptosis"
