"""Synthetic T1 brain MRI inside DIPY.

Importing the package loads no deep learning framework. It switches TensorFlow's
oneDNN kernels on, unless the user has set ``TF_ENABLE_ONEDNN_OPTS``: without them a
3D convolution on a CPU is several times slower.
"""

import os

__version__ = "0.1.0"

os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
