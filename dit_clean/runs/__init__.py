"""Tracked runs of skorch nets: `track`, and the questions that a run answers."""
