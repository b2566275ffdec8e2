"""A trained network leaves this package."""
