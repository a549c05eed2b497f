"""The models that come with the package: one folder each, read by dipy_synth.store."""
