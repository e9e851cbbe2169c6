"""single."""
