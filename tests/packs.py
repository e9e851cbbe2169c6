"""Packs of reference cases, which are no part of the project.

They are looked for in the folder that ``$MIR21SIM_SUITES`` names, or in
``../shared/suites``.
"""

import os
from pathlib import Path

import pytest
import support

SUITES = Path(
    os.environ.get("MIR21SIM_SUITES") or Path(__file__).parents[2] / "shared" / "suites"
)
PETAB_BENCHMARKS = (
    "Armistead_CellDeathDis2024",
    "Bachmann_MSB2011",
    "Fiedler_BMCSystBiol2016",
    "Fujita_SciSignal2010",
    "Raimundez_PCB2020",
    "Smith_BMCSystBiol2013",
)


def unpacked(name, folder):
    """Return the folder of a pack, unpacked; skip the test where there is none."""
    pack = SUITES / f"{name}.tar.xz"
    if not pack.is_file():
        pytest.skip(f"no {pack.name} in {SUITES}; set MIR21SIM_SUITES")
    support.unpack(pack, folder)
    return folder / name
