"""Sweep anti-miR-21: how much makes MCF-7 cells sensitive to TRAIL.

Run: python examples/sweep_anti_mir21.py [FOLDER]
"""

import sys
from pathlib import Path

import mir21sim as ms
from mir21sim.analysis import plots as plotting
from mir21sim.analysis import tables as export

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results")

model = ms.load("mir21_apoptosis", "MCF-7")
result = ms.sweep(
    model,
    over={"anti_miR21": "0,log:1:1000:7 nM"},  # medium concentration, given at 0 h
    end="48 h",
    doses="TRAIL=50 ng/ml@24h",
    observe=["CASP3_active", "PTEN", "PDCD4", "BCL2"],
)

# Times count from the death ligand; the response of the fit is the peak.
features = ms.compare(result, "CASP3_active", since="24 h")
print(export.feature_text(features))

export.write_csv(export.feature_frame(features), folder / "features.csv")
picture = plotting.save(ms.plot_sweep(result, "CASP3_active"), folder / "sweep.png")
print(f"picture: {picture}")
