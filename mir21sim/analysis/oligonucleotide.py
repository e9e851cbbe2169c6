"""The way of an oligonucleotide through a dish, from the numbers of a model.

Half times are ln 2 over a rate of first order; the dissociation constant is the rate of
release over that of binding, by the cell's volume in nM. Chemistries are the switches
``anti_NAME`` of a model that have rates ``k_uptake_NAME``, ``k_deg_NAME``, ``kr_NAME``.
"""

import math
from collections.abc import Mapping

from mir21sim import units
from mir21sim.model.network import Network
from mir21sim.units import rounded

WORDS = {
    "LNA": "LNA, phosphorothioate",
    "OMe": "2'-O-methyl",
    "MOE": "2'-O-methoxyethyl",
    "DNA": "DNA, phosphorothioate",
    "antagomir": "antagomir (cholesterol)",
}
"""Chemistries by the end of their switch, in words."""

SHARED = (
    ("loss in the medium", "k_deg_medium"),
    ("uptake with a lipid", "k_uptake_lipid"),
    ("loss in endosomes", "k_deg_endo"),
    ("escape to the cytosol", "k_escape"),
)
"""Steps that all chemistries share, with their rates."""

BINDING = "kf_anti_miR21_RISC"
"""Rate of binding to loaded miR-21, 1/(molecule·s)."""

SWITCH = "anti_"
"""Start of the switch of a chemistry."""


def chemistries(values: Mapping[str, float]) -> tuple[str, ...]:
    """Return the chemistries of a model, by the names of its numbers."""
    return tuple(
        name.removeprefix(SWITCH)
        for name in values
        if name.startswith(SWITCH) and f"k_deg_{name.removeprefix(SWITCH)}" in values
    )


def pharmacokinetic_records(
    network: Network, volume_pL: float
) -> list[dict[str, float | str]]:
    """Return one record a chemistry: half times of its steps in h, K_d in nM.

    Empty for a model without chemistries.

    Parameters
    ----------
    volume_pL : of the cell
    """
    values = _values(network)
    found: list[dict[str, float | str]] = []
    for name in chemistries(values):
        release = values.get(f"kr_{name}", math.nan)
        per_nM = 1e-9 * units.AVOGADRO * volume_pL * 1e-12
        found.append(
            {
                "chemistry": WORDS.get(name, name),
                "used": "yes" if values[SWITCH + name] else "",
                "uptake (h)": _half_h(values.get(f"k_uptake_{name}")),
                "cytosol (h)": _half_h(values.get(f"k_deg_{name}")),
                "release (h)": _half_h(release),
                "K_d (nM)": release / values.get(BINDING, math.nan) / per_nM,
            }
        )
    return found


def pharmacokinetic_lines(network: Network, volume_pL: float) -> list[str]:
    """Return the way of the inhibitor through a dish as lines of text."""
    from mir21sim.analysis.tables import lines_of, text_table  # pandas takes 0.3 s

    records = pharmacokinetic_records(network, volume_pL)
    if not records:
        return []
    values = _values(network)
    shared = [
        f"{words} {rounded(_half_h(values[name]))} h"
        for words, name in SHARED
        if name in values
    ]
    lines = ["anti-miR in the dish: half times of unassisted uptake, decay, release:"]
    shown = [
        {k: rounded(v, 2) if isinstance(v, float) else v for k, v in record.items()}
        for record in records
    ]
    lines += [f"  {line}" for line in lines_of(text_table(shown))]
    if {"k_escape", "k_deg_endo"} <= values.keys():
        share = values["k_escape"] / (values["k_escape"] + values["k_deg_endo"])
        shared.append(f"{rounded(100 * share, 2)} % of the uptake reach the cytosol")
    lines += [f"  of all: {'; '.join(shared)}"]
    if "transfection" in values:
        way = "with a lipid" if values["transfection"] else "unassisted"
        lines.append(f"  way in: {way} (transfection = {values['transfection']:g})")
    return lines


def way_in(values: Mapping[str, float]) -> str:
    """Return chemistry and way in of a run: ``LNA, phosphorothioate, with a lipid``."""
    used = [WORDS.get(n, n) for n in chemistries(values) if values[SWITCH + n]]
    parts = [*used]
    if used and "transfection" in values:
        parts.append("with a lipid" if values["transfection"] else "unassisted uptake")
    return ", ".join(parts)


def _values(network: Network) -> dict[str, float]:
    return {p.id: p.value for p in network.parameters if p.value is not None}


def _half_h(rate: float | None) -> float:
    """Return the half time of a rate in 1/s, h; infinite for none."""
    if rate is None:
        return math.nan
    return math.log(2.0) / rate / units.SECONDS_PER_HOUR if rate > 0 else math.inf
