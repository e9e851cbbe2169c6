"""Version of the generated text, readable without SymPy."""

GENERATOR = 13
"""Raise by one whenever the text or the machine code for the same network changes."""
