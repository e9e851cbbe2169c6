"""Stoichiometries that a file leaves open."""

import warnings
from collections.abc import Sequence

from mir21sim.errors import ModelWarning


def warn_of_open_counts(name: str, open_counts: Sequence[str]) -> None:
    """Warn of stoichiometries that a file leaves open."""
    if open_counts:
        warnings.warn(
            f"{name} gives no stoichiometry for {', '.join(open_counts[:3])}"
            f"{' and others' if len(open_counts) > 3 else ''}; 1 is taken.",
            ModelWarning,
            stacklevel=2,
        )
