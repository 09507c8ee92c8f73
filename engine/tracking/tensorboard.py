"""Writes a search for TensorBoard: curves while it runs, the found architecture with its drawing at the end."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rbflex_evo.engine.search.callback import Callback, SearchProgress
from rbflex_evo.engine.search.result import Result
from rbflex_evo.fitness.evaluation import Evaluation
from rbflex_evo.spaces import ConfigError

from .values import Values

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

FOLDER = "tensorboard"


class TensorBoard(Callback):
    """Callback that writes event files; needs the extra ``tensorboard``.

    Look at all runs with ``tensorboard --logdir runs``. The scalars are score/NAME, best/NAME (the highest so far), cost/NAME and
    failed (how many so far); a step is a unique evaluation. A resumed run goes on in the same folder.

    Args:
        folder: Where the files are written; by default ``tensorboard`` in the run's folder.

    Raises:
        ConfigError: If TensorBoard is not installed.
    """

    def __init__(self, folder: str | Path | None = None) -> None:
        if find_spec("tensorboard") is None:
            raise ConfigError("TensorBoard() needs the package tensorboard; install it: pip install 'rbflex-evo[tensorboard]'")
        self._folder = None if folder is None else Path(folder)
        self._writer: SummaryWriter | None = None
        self._values = Values()

    def on_evaluation(self, evaluation: Evaluation, progress: SearchProgress) -> None:
        """Writes the scalars of an evaluation."""
        writer = self._open(progress.folder)
        for name, value in self._values.of(evaluation, progress).items():
            writer.add_scalar(name, value, progress.evaluations)

    def on_snapshot(self, progress: SearchProgress) -> None:
        """Hands what was written to the disk, so that a page that is open shows it."""
        if self._writer is not None:
            self._writer.flush()

    def on_end(self, result: Result) -> None:
        """Writes the found architecture as text and drawing."""
        from rbflex_evo.engine.graph_drawing.diagram import draw_architecture

        writer, best = self._open(result.folder), result.best
        step = len(result.view)
        writer.add_text("stopped", result.stop_reason, step)
        if best is not None:
            writer.add_text("found", f"`{best.notation}`", step)
            writer.add_figure("found", draw_architecture(result.space.drawing(best.genotype)), step, close=False)

    def close(self) -> None:
        """Closes the event file."""
        if self._writer is not None:
            self._writer.close()
        self._writer, self._values = None, Values()

    def _open(self, run: Path) -> SummaryWriter:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(log_dir=str(self._folder or run / FOLDER))
        return self._writer
