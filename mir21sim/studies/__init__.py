"""Studies: one file that says what is done and read, one folder with what came out."""
