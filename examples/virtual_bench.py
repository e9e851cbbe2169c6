"""One experiment, read by four assays: luciferase, blot, flow cytometry, plate.

Run: python examples/virtual_bench.py [folder for tables and pictures]
"""

import sys
from pathlib import Path

import mir21sim as ms
from mir21sim.analysis.plots import save
from mir21sim.analysis.tables import write_csv

STIMULUS = "TRAIL=10 ng/ml@24h"
folder = Path(sys.argv[1] if len(sys.argv) > 1 else "results")
model = ms.load("mir21_apoptosis", "HeLa")
samples = (
    ms.Sample("control"),
    ms.Sample("mimic", "miR21_mimic=50 nM@0h"),
    ms.Sample("anti-miR-21", "anti_miR21=100 nM@0h"),
    ms.Sample("TRAIL", STIMULUS),
    ms.Sample("TRAIL + anti-miR-21", ["anti_miR21=100 nM@0h", STIMULUS]),
)
experiment = ms.Experiment(samples, ms.Population(100, seed=1), times_h=(24, 36))
assays = (
    ms.LuciferaseAssay(("PDCD4",), times_h=(24,)),
    ms.WesternBlot(("PTEN", "PDCD4", "p-AKT/AKT", "cleaved CASP3"), time_h=36),
    ms.FlowCytometry(time_h=36),
)
cells = ms.run_assays(model, experiment, assays)  # dimensions: sample, cell, time
for assay in assays:
    reading = assay.read(cells, seed=1, replicates=3)
    print(f"\n{assay.name}: {write_csv(reading.raw, folder / f'{assay.name}.csv')}")
    print(reading.summary.to_string(index=False, float_format="{:.3g}".format))
    print(*reading.notes, sep="\n")
    print(f"picture: {save(assay.plot(reading), folder / f'{assay.name}.png')}")

amounts = [0, 1, 3, 10, 30, 100]
plate = ms.PlateAssay("viability")
series = (
    *ms.dose_series("TRAIL", STIMULUS, amounts),
    *ms.dose_series(
        "TRAIL + anti-miR-21", STIMULUS, amounts, treatment="anti_miR21=100 nM@0h"
    ),
)
cells = ms.run_assays(
    model, ms.Experiment(series, ms.Population(100, seed=1), (36,)), [plate]
)
reading = plate.read(cells, seed=1)
for treatment, fit in reading.fits.items():
    print(f"{treatment}: EC50 {fit.ec50:.3g} ng/ml {fit.reason}")
print(f"picture: {save(plate.plot(reading), folder / 'viability.png')}")
