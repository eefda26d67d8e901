"""A trained network on pictures and videos."""
