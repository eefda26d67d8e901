"""The run directory: how a run is configured, kept, found again and gone on with."""
