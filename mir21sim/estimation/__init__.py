"""Data and a model → parameters, their uncertainty, and predictions with bands."""
