"""The doses of a result in words."""

import xarray as xr

from mir21sim import units
from mir21sim.analysis.curves import dose_records, time_unit
from mir21sim.units import rounded


def counted_from(result: xr.Dataset, since: float | str) -> str:
    """Return the names of the doses at a time, or 'the start' for none."""
    hours = units.time_in(since, time_unit(result), "since")
    found = [
        shown_name(result, str(dose["target"]))
        for dose in dose_records(result)
        if abs(dose["time"] - hours) < 1e-9
    ]
    return " and ".join(dict.fromkeys(found)) or "the start"


def shown_name(result: xr.Dataset, name: str) -> str:
    """Return the words for a dosed molecule that a result has, else its name."""
    if name not in result.variables:
        return name
    return str(result[name].attrs.get("long_name", name))


def treatment_text(result: xr.Dataset) -> str:
    """Return the doses of a result: 'anti-miR-21 at 0 h, TRAIL 50 ng/ml at 24 h'."""
    texts = []
    for dose in dose_records(result):
        name, amount = (
            str(dose["target"]),
            f" {rounded(dose['amount'], 6)} {dose['unit']}",
        )
        if name in result.dims:
            name, amount = shown_name(result, name), ""
        if dose["mode"] == "set":
            amount = " washed out" if dose["amount"] == 0 else f" held at{amount}"
        texts.append(f"{name}{amount} at {dose['time']:g} {time_unit(result)}")
    return ", ".join(texts)
