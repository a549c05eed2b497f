"""The first import of Keras, without the start-up messages of its backend.

TensorFlow writes to file descriptor 2 from C++ before its log settings are read: about
a missing GPU, instructions that its build lacks, and oneDNN. Here the descriptor is
redirected to a temporary file while Keras is imported and the backend starts. Errors
are shown.
"""

from contextlib import contextmanager
import faulthandler
import importlib
import logging
import os
import sys
import tempfile

logger = logging.getLogger("dipy")


def start_keras():
    """Import Keras and start its backend, quietly.

    It does nothing where Keras is imported already. ``TF_CPP_MIN_LOG_LEVEL`` is set to
    3 unless the user has set it: then only fatal messages of TensorFlow are seen, also
    later; errors are exceptions. With logging at DEBUG the messages are logged.
    """
    if "keras" in sys.modules:
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet_descriptor():
        keras = importlib.import_module("keras")
        keras.ops.convert_to_numpy(keras.ops.zeros(1))  # starts the backend


@contextmanager
def quiet_descriptor():
    """Redirect the descriptor of stderr to a temporary file within a context.

    The output is written if the block raises, and logged at DEBUG if not. A crash of
    the process is reported on the descriptor itself.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    crashes = not faulthandler.is_enabled()
    with tempfile.TemporaryFile() as log:
        if crashes:
            faulthandler.enable(file=kept)
        os.dup2(log.fileno(), 2)
        try:
            yield
        except BaseException:
            os.write(kept, _written(log))
            raise
        finally:
            os.dup2(kept, 2)
            if crashes:
                faulthandler.disable()
            os.close(kept)
        for line in _written(log).decode(errors="replace").splitlines():
            logger.debug("%s", line)


def _written(log):
    log.seek(0)
    return log.read()
