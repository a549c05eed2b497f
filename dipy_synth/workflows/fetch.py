"""The command dipy_fetch_t1."""

from dipy.utils.logging import logger
from dipy.workflows.workflow import Workflow

from dipy_synth.data.fetchers import SOURCES, fetch_t1


class FetchT1Flow(Workflow):
    """Fetch a public T1 dataset."""

    @classmethod
    def get_short_name(cls):
        """Return the short name, for DIPY's combined workflows."""
        return "fetch_t1"

    def run(self, name, keep_archive=False, out_dir=""):
        """Download and unpack a public T1 dataset, or resume an interrupted download.

        Size and licence are shown before the download, size and checksum are verified
        after it. A complete dataset is kept, unless --force is given.

        Parameters
        ----------
        name : string
            The dataset: nfbs, ixi or cc359; "list" lists them. cc359 needs a
            registration: the command says where, and checks the files.
        keep_archive : bool, optional
            Keep the archive after it is unpacked.
        out_dir : string or Path, optional
            Folder in which that of the dataset is made.

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
