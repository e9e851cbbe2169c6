"""Virtual assays: readings of a laboratory, from the cells of one experiment.

The contract. An experiment is run once, and every assay reads the same Dataset::

    experiment = Experiment(samples, Population(1000), times_h=(0, 24, 48))
    assays = [LuciferaseAssay(...), WesternBlot(...), FlowCytometry(), PlateAssay()]
    cells = run_assays(model, experiment, assays)            # dims sample, cell, time
    reading = assay.read(cells, noise=True, seed=1, replicates=3)
    reading.raw, reading.summary, reading.notes              # pandas tables, sentences
    figure = assay.plot(reading)                             # matplotlib Figure

Each assay (``assay.Assay``) is a frozen dataclass of settings with

* ``name``: "luciferase", "western", "flow", "caspase" or "viability";
* ``needs(model)``: the model quantities to keep; an unknown protein is an error here;
* ``dishes(samples, model)``: the samples it needs run besides those of the experiment
  (luciferase: each treatment with each reporter plasmid); () for the others;
* ``read(cells, *, noise=True, seed=0, replicates=3, test="auto")``: the reading;
  `noise=False` gives exactly the model's ratios, with n = 1 and no test;
* ``plot(reading)``: the picture.

A reading (``assay.Reading``) has ``raw``, one row a replicate or well; ``summary``, one
row a group with ``n``, ``mean``, ``sd``, ``relative`` (mean over that of the control),
``test`` and ``p``; ``notes``, sentences a reader must see, e.g. that the control gives
no signal. A seed fixes everything, whatever other assays or samples are read before.

Noise numbers are the fields of the classes in ``noise``; ``noise.noise_table`` lists
them with unit, status (``assumed``, …) and source.
"""
