"""Model files → Network."""
