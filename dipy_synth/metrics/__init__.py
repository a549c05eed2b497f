"""Metrics of synthetic images: distribution, similarity, memorization, anatomy."""
