"""Words of the command line → what the library takes."""

from pathlib import Path
from typing import TYPE_CHECKING

from mir21sim import errors

if TYPE_CHECKING:
    from mir21sim.compiler.model import CompiledModel
    from mir21sim.simulation.perturbations import Perturbations


def split_item(text: str, option: str, form: str = "NAME=VALUE") -> tuple[str, str]:
    """Return what stands before and after the first equals sign."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise errors.InputError(f"{option} must read {form}, got `{text}`.")
    return name.strip(), value.strip()


def assignments(items: list[str] | None, option: str) -> dict[str, float]:
    """Return numbers by name from ``NAME=NUMBER`` items."""
    values = {}
    for item in items or ():
        name, text = split_item(item, option)
        try:
            values[name] = float(text)
        except ValueError as error:
            raise errors.InputError(
                f"{option} {name} must be a number, got `{text}`."
            ) from error
    return values


def perturbations(
    clamp: list[str] | None,
    knockdown: list[str] | None,
    overexpress: list[str] | None,
    no_site: list[str] | None,
) -> "Perturbations":
    """Return what the options say is done to genes and proteins."""
    from mir21sim.simulation.perturbations import Perturbations

    return Perturbations(
        clamp=dict(split_item(item, "--clamp", "NAME=LEVEL") for item in clamp or ()),
        knockdown=assignments(knockdown, "--knockdown"),
        overexpress=assignments(overexpress, "--overexpress"),
        no_site=tuple(name_list(no_site) or ()),
    )


def dose_texts(items: list[str] | None) -> list[str] | None:
    """Return dose texts; None for the model's own protocol, [] for `none`."""
    if items is None or not items:
        return None
    return [] if items == ["none"] else items


def tool_names(text: str | None) -> list[str] | None:
    """Return tool names; None for those that are installed, [] for `none`."""
    if text is None:
        return None
    return [] if text == "none" else name_list([text])


def name_list(items: list[str] | None) -> list[str] | None:
    """Return names from repeated options and comma lists."""
    if not items:
        return None
    return [name.strip() for item in items for name in item.split(",") if name.strip()]


def labelled_path(text: str) -> tuple[str, str]:
    """Return (label, path) of ``LABEL=FILE``; the label is empty for a plain path."""
    label, equals, path = text.partition("=")
    return (label, path) if equals and not Path(text).exists() else ("", text)


def load_model(
    model: str,
    context: str | None,
    backend: str,
    ignore_units: bool,
    strict_units: bool = False,
) -> "CompiledModel":
    """Return a model, compiled for a backend, its units checked or not."""
    from mir21sim.compiler import load as library

    if ignore_units and strict_units:
        raise errors.InputError("Give one of --ignore-units and --strict-units.")
    policy: library.UnitPolicy = "strict" if strict_units else "check"
    return library.load(
        model,
        context,
        backend=backend,  # type: ignore[arg-type]  # checked by load
        unit_policy="ignore" if ignore_units else policy,
    )
