"""Files, parallel runs, progress bars and montages."""
