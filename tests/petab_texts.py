"""Texts of small PEtab problems (version 1), for the tests of estimation."""

PROBLEM = (
    "format_version: 1\nparameter_file: par.tsv\nproblems:\n"
    "- sbml_files: [m.xml]\n  condition_files: [cond.tsv]\n"
    "  measurement_files: [meas.tsv]\n  observable_files: [obs.tsv]\n"
)
PARAMETERS = (
    "parameterId\tparameterScale\tlowerBound\tupperBound\tnominalValue\testimate\n"
)
