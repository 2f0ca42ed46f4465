"""One look for all figures of the study, one way to write them, and the stamp that marks made-up data.

The modules beside this one draw; scripts/plot_*.py read the numbers, call them and save.
"""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from capcortex.files import atomic_path

STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.labelsize": 8,
    "axes.linewidth": 0.6,
    "axes.edgecolor": "0.3",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.color": "0.3",
    "ytick.color": "0.3",
    "xtick.labelcolor": "black",
    "ytick.labelcolor": "black",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "image.interpolation": "nearest",
    "savefig.dpi": 200,
    # TrueType, so that text in a PDF can be searched and edited.
    "pdf.fonttype": 42,
    # A caption with two dollar signs is not a formula.
    "text.parse_math": False,
}

# Okabe and Ito's colours (grey in place of black), which people with any kind of colour vision can tell apart, in an
# order that puts distant ones side by side.
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#56B4E9", "#CC79A7", "#7A7A7A", "#D55E00", "#F0E442")
NOTE: dict[str, Any] = {"color": "0.35", "fontsize": 7}
BEYOND: dict[str, Any] = {"linestyle": "", "markersize": 4, "markeredgewidth": 0, "clip_on": False}
"""Arrow where a mark lies beyond a cut axis."""

STAMP = "miniature data: made-up brains"


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure in the study's style; width and height in inches."""
    matplotlib.rcParams.update(STYLE)
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def model_colours(n_models: int) -> list[str]:
    """Return a colour for each model: the palette, or steps from dark to light when the palette has too few."""
    if n_models <= len(PALETTE):
        return list(PALETTE[:n_models])
    scale = matplotlib.colormaps["cividis"].resampled(n_models)
    return [matplotlib.colors.to_hex(scale(step)) for step in range(n_models)]


def add_panel(figure: Figure, label: str, box: tuple[float, float, float, float]) -> Axes:
    """Add axes whose left, bottom, width and height are given in inches, and that can be found again by their label."""
    across, up = figure.get_size_inches()
    left, bottom, width, height = box
    return figure.add_axes((left / across, bottom / up, width / across, height / up), label=label)


def stamp(figure: Figure, source: str) -> None:
    """Mark a figure that shows the miniature, in its lower right corner, so that it is never taken for the brain.

    Parameters
    ----------
    figure
        Drawn on.
    source
        Config key ``source``; only ``miniature`` is marked.
    """
    if source == "miniature":
        width, height = figure.get_size_inches()
        figure.text(1 - 0.1 / width, 0.08 / height, STAMP, ha="right", va="bottom", style="italic", **NOTE)


def save_figure(figure: Figure, pdf: str | Path, png: str | Path) -> None:
    """Write a figure as PDF and as PNG; the same figure always gives the same bytes."""
    for path, metadata in (
        (pdf, {"Creator": "capcortex", "Producer": None, "CreationDate": None}),
        (png, {"Software": None}),
    ):
        with atomic_path(path) as temporary:
            figure.savefig(temporary, metadata=metadata)
