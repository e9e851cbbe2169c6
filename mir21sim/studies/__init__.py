"""Studies: one TOML file → one folder with data, pictures and a report."""
