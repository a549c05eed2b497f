"""What a run recorded of itself, and where things were measured, for cards."""

import csv
import os
import platform


def history(run):
    """Read a run's history.csv: list of dict, a row an epoch."""
    with open(run / "history.csv", newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def minutes(rows):
    """Sum the time of a history's epochs, in minutes."""
    return sum(float(row["seconds"]) for row in rows) / 60


def hardware():
    """Describe the machine: str."""
    return f"{platform.machine()}, {os.cpu_count()} CPU cores"
