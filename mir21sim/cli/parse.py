"""Values of command-line options → arguments of the library."""

import re
from pathlib import Path

from mir21sim import errors


def split_item(text: str, option: str, form: str = "NAME=VALUE") -> tuple[str, str]:
    """Return the texts before and after the first equals sign."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip() or not value.strip():
        raise errors.InputError(f"{option} must read {form}, got `{text}`.")
    return name.strip(), value.strip()


def axes(items: list[str] | None) -> dict[str, str]:
    """Return the values of each swept name from ``NAME=VALUES`` items."""
    found: dict[str, str] = {}
    for item in items or ():
        name, values = split_item(item, "--over", "NAME=VALUES")
        if name in found:
            raise errors.InputError(
                f"--over names `{name}` twice; give its values in one list."
            )
        found[name] = values
    return found


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


def figure_size(text: str | None) -> tuple[float, float] | None:
    """Return width and height in inches of ``85x60mm``; None without a text."""
    if text is None:
        return None
    found = _SIZE.fullmatch(text.replace(" ", ""))
    if found is None:
        raise errors.InputError(
            f"--size must read WIDTHxHEIGHT in mm, cm or in, such as 85x60mm, got "
            f"`{text}`."
        )
    width, height = (float(found[k]) / _PER_INCH[found[3].lower()] for k in (1, 2))
    if not (0.5 <= width <= 40 and 0.5 <= height <= 40):
        raise errors.InputError(f"--size must be 0.5 to 40 in, got `{text}`.")
    return width, height


_SIZE = re.compile(r"(\d+\.?\d*)[x×*](\d+\.?\d*)(mm|cm|in)", re.IGNORECASE)
_PER_INCH = {"mm": 25.4, "cm": 2.54, "in": 1.0}


def labelled_path(text: str) -> tuple[str, str]:
    """Return (label, path) of ``LABEL=FILE``; the label is empty for a plain path."""
    label, equals, path = text.partition("=")
    return (label, path) if equals and not Path(text).exists() else ("", text)
