"""Models with the interface of ``dipy.nn``."""
