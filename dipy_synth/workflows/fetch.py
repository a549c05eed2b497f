"""The command that fetches public T1 data sets."""

from dipy.utils.logging import logger
from dipy.workflows.workflow import Workflow

from dipy_synth.data.fetchers import SOURCES, fetch_t1


class FetchT1Flow(Workflow):
    """Fetch a public T1 data set."""

    @classmethod
    def get_short_name(cls):
        """Give the name that DIPY's combined workflows use."""
        return "fetch_t1"

    def run(self, name, keep_archive=False, out_dir=""):
        """Download and unpack a public T1 data set, or resume where it broke off.

        The size and the licence are shown before the download begins; size and
        checksum are verified after it. Data that are complete already are left
        alone; --force replaces them.

        Parameters
        ----------
        name : string
            The data set: nfbs, ixi, or cc359, which asks for a registration: the
            command tells where, and checks what you put down. "list" lists them.
        keep_archive : bool, optional
            Keep the archive when it has been unpacked.
        out_dir : string or Path, optional
            Where the folder of the data set goes.

        """
        if name == "list":
            for source in SOURCES.values():
                logger.info(f"{source.name}: {source.title} ({source.licence})")
            return
        fetch_t1(
            name.lower(),
            out_dir or ".",
            force=self._force_overwrite,
            keep_archive=keep_archive,
        )
