"""Run your own model file: dose any species, sweep any parameter.

``caspase_switch.xml`` is SBML; an Antimony file (here ``caspase_switch.ant``) loads the
same way once the extra is installed: pip install "mir21sim[antimony]".

Run: python examples/own_model.py [FOLDER]
"""

import sys
from pathlib import Path

import mir21sim as ms
from mir21sim.analysis import plots as plotting
from mir21sim.analysis import tables as export

here = Path(__file__).parent
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results")

model = ms.load(here / "caspase_switch.xml")
result = ms.sweep(
    model,
    over={"k_bind": "log:2e-7:2e-5:5"},  # how tightly XIAP holds caspase-3
    end="12 h",
    doses="CASP8_active=100 molecule@1h",
    observe=["CASP3_active", "[XIAP]"],
)
features = ms.compare(result, "CASP3_active", since="1 h", response="t_half_h")
print(export.feature_text(features))

ax = ms.plot_curves(result, "CASP3_active")
print(f"picture: {plotting.save(ax, folder / 'own_model.png')}")
