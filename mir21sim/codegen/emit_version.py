"""Version of the generated text, readable without SymPy. Layer 4."""

GENERATOR = 6
"""Raise by one whenever the text for the same network changes."""
