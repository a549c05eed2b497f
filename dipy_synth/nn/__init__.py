"""Models in the manner of ``dipy.nn``: make one, load or fit its weights, use it."""
