"""From dataset and machine to a plan in a run folder."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goodfit import __version__
from goodfit.commands.inspect import inspect
from goodfit.commands.places import cache_folder, choose_run
from goodfit.data.dataset import content_key, open_dataset
from goodfit.data.splits import Split, load_split, make_split, save_split
from goodfit.errors import DatasetError, PlanError
from goodfit.observer import Observer
from goodfit.planning.overrides import override_configuration
from goodfit.planning.plan import Budget, Plan, load_plan, save_plan
from goodfit.planning.planner import make_plan
from goodfit.planning.time_budget import STEPS_PER_EPOCH, candidates, epoch_length, fit_to_time
from goodfit.settings import Settings, build_settings
from goodfit.training.run_folder import RunFolder, locked

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goodfit.data.dataset import Dataset

logger = logging.getLogger(__name__)
