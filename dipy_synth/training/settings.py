"""Settings of a training run."""

from dataclasses import dataclass

from dipy_synth.errors import InputError
from dipy_synth.utils.random import check_seed

PRECISIONS = ("auto", "float32", "mixed_bfloat16", "mixed_float16")


@dataclass(frozen=True)
class TrainingSettings:
    """Settings of a model's training.

    Attributes
    ----------
    epochs : int
        Passes over the training set.
    learning_rate : float
        Peak of the learning rate, reached after `warmup`, with cosine decay.
    warmup : float
        Fraction of the updates for warm-up.
    weight_decay : float
        Decoupled weight decay of AdamW :footcite:p:`loshchilov2019adamw`.
    clip_norm : float
        Largest global norm of the gradient.
    average : float
        Largest momentum of the exponential moving average of the weights.
    precision : str
        ``auto``, ``float32``, ``mixed_bfloat16`` or ``mixed_float16``. ``auto`` is
        ``mixed_bfloat16`` on processors where that is faster, else ``float32``
        (`dipy_synth.training.devices.resolve_precision`). ``mixed_float16`` uses loss
        scaling, so that small gradients do not vanish
        :footcite:p:`micikevicius2018mixed`.
    batch_size : int
        Images a batch, shared among the devices.
    accumulation : int
        Number of batches whose mean gradient makes one update.
    patience : int
        Early stopping: number of epochs without a better `monitor`, after which the
        weights of the best epoch are restored. 0 trains all epochs.
    monitor : str
        A column of the history; lower is better.
    seed : int
        Seed of weights, order, noise and augmentation.
    tensorboard : bool
        Write the history for TensorBoard too, to the run's folder.
    devices : int
        Devices of this machine to train on; -1 for all there are.

    References
    ----------
    .. footbibliography::
    """

    epochs: int = 20
    learning_rate: float = 3e-4
    warmup: float = 0.03
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    average: float = 0.999
    precision: str = "auto"
    batch_size: int = 1
    accumulation: int = 1
    patience: int = 0
    monitor: str = "val_loss"
    seed: int = 0
    tensorboard: bool = False
    devices: int = 1

    def __post_init__(self):
        check_seed(self.seed)
        if self.precision not in PRECISIONS:
            raise InputError(
                f"precision {self.precision!r}: expected one of {', '.join(PRECISIONS)}"
            )
        for name in (
            "epochs",
            "batch_size",
            "accumulation",
            "learning_rate",
            "clip_norm",
        ):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} {getattr(self, name)}: expected above 0")
        if self.patience < 0:
            raise InputError(f"patience {self.patience}: expected 0 (off) or more")
        if self.devices < 1 and self.devices != -1:
            raise InputError(
                f"devices {self.devices}: expected at least 1, or -1 for all"
            )

    @classmethod
    def completed(cls, defaults, **options):
        """Build settings from options, with defaults for those that are None.

        Parameters
        ----------
        defaults : dict
            Settings of a preset.
        **options
            Settings that override them, unless None.

        Returns
        -------
        TrainingSettings
        """
        given = {name: value for name, value in options.items() if value is not None}
        return cls(**{**defaults, **given})
