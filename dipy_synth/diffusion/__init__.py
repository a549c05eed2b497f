"""Diffusion mathematics: schedules and samplers. Knows no network."""
