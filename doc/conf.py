"""Sphinx configuration: ``sphinx-build doc doc/_build`` runs the gallery too."""

from dipy_synth import __version__

project = "dipy_synth"
copyright = "dipy_synth developers"
version = release = __version__
extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "sphinx_gallery.gen_gallery",
]
html_theme = "pydata_sphinx_theme"
numpydoc_show_class_members = False
sphinx_gallery_conf = {
    "examples_dirs": "examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "plot_",
}
exclude_patterns = ["_build"]
