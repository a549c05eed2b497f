"""The command line: flows in DIPY's manner, a few lines each."""
