"""What the pass prune finds out before channels go: what each is worth, and which counts do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgekit.graph import Model
from edgekit.passes.contract import Context
from edgekit.passes.plans import options_for
from edgekit.passes.rounds import Round, State
from edgekit.pruning import criteria
from edgekit.pruning.constraints import Allowed
from edgekit.pruning.coupling import Coupling
from edgekit.pruning.criteria import Scores
from edgekit.pruning.survey import Survey, ranked, surveyed

if TYPE_CHECKING:
    from edgekit.passes.prune import Prune


def round_of(
    asked: Prune,
    context: Context,
    folder: Path,
    *,
    dense: Model,
    state: State,
    coupling: Coupling,
    energies: Mapping[str, Scores],
    limit: float,
) -> Round:
    """Return what must be known before more is removed.

    Args:
        asked: the pass.
        context: of the pass.
        folder: for temporary files.
        dense: the model at first.
        state: what has become of it.
        coupling: of the state's model.
        energies: scores that are known, by group name; channels of groups that were turned lie in
            their order without that.
        limit: what may be left, in the unit of the budget.

    Raises:
        UsageError: a layer that the user names is not there, or cannot be cut.
    """
    groups = coupling.free
    options = options_for(asked, coupling, groups, context.target.channel_multiple, limit)
    turned_groups = (group for group in groups if group.name in state.turned)
    in_order = {one.name: -np.arange(float(len(one.channels))) for one in turned_groups}
    return Round(
        dense=dense,
        state=state,
        coupling=coupling,
        options=options,
        survey=_survey(
            asked, context, folder, coupling, options=options, known=energies or in_order
        ),
        limit=limit,
    )


def _survey(
    asked: Prune,
    context: Context,
    folder: Path,
    coupling: Coupling,
    *,
    options: Sequence[Allowed],
    known: Mapping[str, Scores],
) -> Survey:
    criterion, data = criteria.find(asked.criterion), context.data
    progress = partial(context.progress, "measuring what channels are worth")
    progress(0, 0)
    if data is None or asked.ratios:
        return ranked(coupling, coupling.free, criterion, data=data, workspace=folder, known=known)
    return surveyed(
        coupling,
        coupling.free,
        options,
        criterion,
        data=data,
        workspace=folder,
        known=known,
        progress=progress,
    )
