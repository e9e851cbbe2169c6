"""Compare two contexts: a high-miR-21 cancer line against a low-miR-21 line.

Run: python examples/compare_contexts.py [FOLDER]
"""

import sys
from pathlib import Path

import mir21sim as ms
from mir21sim.analysis import plots as plotting
from mir21sim.analysis import tables as export

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results")

results = {}
for context in ("MCF-7", "MCF-10A"):
    model = ms.load("mir21_apoptosis", context)
    results[context] = ms.sweep(
        model,
        over={"anti_miR21": [0, 3, 10, 30, 100, 1000]},  # nM
        doses=[ms.Dose(24, 50, "TRAIL", "ng/ml")],
        end=48,
        observe="CASP3_active",
    )

features = ms.compare(results, "CASP3_active", since=24)
print(export.feature_text(features))

overlay = plotting.save(
    ms.plot_overlay(results, "CASP3_active"), folder / "contexts.png"
)
response = plotting.save(
    ms.plot_dose_response(features), folder / "contexts_response.png"
)
print(f"pictures: {overlay}, {response}")
