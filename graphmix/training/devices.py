"""Lightning Fabric for the devices of a configuration, its logs, and Ctrl-C in the middle of a step."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from graphmix.errors import GraphmixError
from graphmix.training.config import TrainConfig

_START_METHODS = {"ddp_spawn": "spawn", "ddp_fork": "fork"}


def make_fabric(config: TrainConfig, log: Path) -> Any:
    """Fabric for the devices that a configuration names, which logs into a folder.

    Raises:
        GraphmixError: a device or a log that is not there.
    """
    from lightning_fabric import Fabric
    from lightning_fabric.strategies import DDPStrategy
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    device = config.device
    strategy: Any = "auto"
    if device.devices > 1:
        start: Any = _START_METHODS.get(device.strategy, "popen")
        # a head whose type no song of a step has gets no gradient
        strategy = DDPStrategy(find_unused_parameters=True, start_method=start)
    try:
        return Fabric(
            accelerator=device.accelerator,
            devices=device.devices,
            strategy=strategy,
            precision=device.precision,
            loggers=[_logger(name, log) for name in dict.fromkeys(config.training.logs)],
        )
    except (RuntimeError, ValueError, MisconfigurationException) as error:
        if isinstance(error, GraphmixError):
            raise
        reason = " ".join(str(error).split())[:200]
        raise GraphmixError(
            f"{device.devices} of device {device.accelerator!r} with precision {device.precision} cannot be used "
            f"({reason}); try --device cpu --devices 1."
        ) from None


def _logger(name: str, log: Path) -> Any:
    """Fabric's logger for a log, into ``log`` itself."""
    from lightning_fabric.loggers import CSVLogger, TensorBoardLogger

    if name == "csv":
        return CSVLogger(log.parent, name=None, version=log.name, flush_logs_every_n_steps=1)
    try:
        return TensorBoardLogger(log.parent, name=None, version=log.name)
    except ModuleNotFoundError:
        raise GraphmixError('tensorboard is not installed; install it, or set training.logs to ["csv"].') from None


def new_log_folder(folder: Path, step: int) -> Path:
    """A folder that is not there yet, for the log of a start at a step: loggers empty what they find."""
    path, count = folder / "log" / f"from_{step}", 1
    while path.exists():
        count += 1
        path = folder / "log" / f"from_{step}_{count}"
    return path


@contextmanager
def caught_interrupt() -> Iterator[threading.Event]:
    """SIGINT and SIGTERM set an event, which is acted upon after the running step; a second signal acts at once.

    Outside of the main thread no signal is caught.
    """
    event = threading.Event()

    def catch(number: int, frame: FrameType | None) -> None:
        if event.is_set():
            raise KeyboardInterrupt
        event.set()

    numbers = [signal.SIGINT, signal.SIGTERM] if threading.current_thread() is threading.main_thread() else []
    before = {number: handler for number in numbers if (handler := signal.getsignal(number)) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, catch)
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def ignore_interrupts(worker: int) -> None:
    """For processes that decode: Ctrl-C at the terminal reaches them too, and the training ends them in time."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
