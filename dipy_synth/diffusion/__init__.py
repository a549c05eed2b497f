"""Schedules, samplers, training pairs and latents; independent of the networks."""
