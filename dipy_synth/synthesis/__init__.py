"""Synthetic cohorts: requests, generation, QC and reconstruction."""
