"""Beginning a training with weights of another one: of goodfit or of nnU-Net."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from goodfit.commands.models import find_runs
from goodfit.commands.trained import trained_instance_plan, trained_plan
from goodfit.data.description import parse_labels
from goodfit.data.wording import counted
from goodfit.errors import DatasetError, RunError
from goodfit.files import read_json, write_json
from goodfit.interop.nnunet.checkpoint import read_nnunet_checkpoint
from goodfit.interop.nnunet.model_folder import choose_folds, find_models, is_model_folder
from goodfit.planning.instances.plan import InstancePlan
from goodfit.training.checkpoint import checksum, read_weights
from goodfit.training.run_folder import RunFolder
from goodfit.training.transfer import TAKEN, Transfer, transfer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from goodfit.data.labels import Labels
    from goodfit.observer import Observer
    from goodfit.planning.plan import Plan

logger = logging.getLogger(__name__)

OUTPUTS = (".seg_layers.", "roi_heads.box_predictor.", "roi_heads.mask_predictor.mask_fcn_logits.")
"""By these names output layers are known: of the U-Nets, and of detectors."""
OPTION = "--initialise-from"
_CHECKPOINTS = (".pth", ".pt")


@dataclass(frozen=True)
class Source:
    """Weights to begin with.

    Attributes:
        file: the checkpoint.
        weights: by name.
        classes: what the outputs mean, or None where the file does not say.
    """

    file: Path
    weights: Mapping[str, Tensor]
    classes: object | None


def require_source(place: str | None) -> None:
    """Find out before the long work whether the weights are there.

    Raises:
        RunError: they are not.
    """
    if place is not None:
        _find(Path(place))


def initialise(
    network: nn.Module, plan: Plan | InstancePlan, place: str, run: RunFolder, observer: Observer
) -> Transfer:
    """Put the weights that fit into a network that has not been trained, and note them in the run.

    The output layers are taken where the classes are the same, with the same values; every other layer where name and
    shape agree. The digest of the weights goes into trained.json: it is a part of what the run is.

    Args:
        network: freshly drawn.
        plan: of the network.
        place: a run, a checkpoint of one (.safetensors), nnU-Net's folder of a model, or a checkpoint of it (.pth).
        run: gets the record.
        observer: told what was taken.

    Raises:
        RunError: there are no such weights, they are damaged, or none of them fits.
    """
    source = open_source(Path(place))
    own = _meaning(plan)
    why_not = ""
    if source.classes is None:
        why_not = "output layer, and the file does not say of which classes"
    elif source.classes != own:
        why_not = "output layer of other classes"
    done = transfer(network, source.weights, outputs=OUTPUTS, why_not_outputs=why_not)
    if not done.taken:
        reasons = sorted(set(done.left.values()))
        raise RunError(
            f"{OPTION} {place}: none of the network's {counted(len(done.left), 'weight')} fits ({'; '.join(reasons[:3])}). "
            "It is of another kind of network; leave the option out, or plan with the same configuration and network."
        )
    digest = checksum({name: tensor.cpu().contiguous() for name, tensor in source.weights.items()}, "")
    rows = done.rows()
    run.update_record(
        initialised_from={
            "file": str(source.file.resolve()),
            "digest": digest,
            "table": [asdict(row) for row in rows],
            "unused": done.unused,
        }
    )
    write_json(run.trained, {**read_json(run.trained, RunError), "initialised_from": digest})
    _tell(source, done, observer)
    return done


def open_source(place: Path) -> Source:
    """Read weights to begin with.

    Raises:
        RunError: there are none, they are damaged, or hold more than weights.
    """
    file, run = _find(place)
    if file.suffix in _CHECKPOINTS:
        checkpoint = read_nnunet_checkpoint(file)
        return Source(file, checkpoint.weights, _nnunet_classes(checkpoint.dataset, str(file)))
    return Source(file, read_weights(file), None if run is None else _run_meaning(run))


def _find(place: Path) -> tuple[Path, RunFolder | None]:
    """Find the checkpoint that is meant, and the run that it is of."""
    if place.is_file():
        if place.suffix in _CHECKPOINTS:
            return place, None
        if place.suffix != ".safetensors":
            raise RunError(
                f"{OPTION} {place}: give a run, a checkpoint of one (.safetensors), a model folder of nnU-Net, or a "
                "checkpoint of it (.pth). A zip file is imported first, with `goodfit import`."
            )
        run = RunFolder(place.parent.parent)
        return place, run if run.record.is_file() else None
    if not place.is_dir():
        raise RunError(f"{OPTION} {place}: there is no such run, model folder or checkpoint.")
    if is_model_folder(place):
        model = find_models(place)[0]
        fold = choose_folds(model, None)[0]
        return model.checkpoint(fold, model.folds[fold][0]), None
    run = find_runs(place)[0]
    file = run.checkpoint(str(run.read_record().get("checkpoint", "best")))
    if not file.is_file():
        raise RunError(f"{OPTION} {place}: this run has no {file.name} yet. Wait for its first epoch, or name another.")
    return file, run


def _run_meaning(run: RunFolder) -> object | None:
    if not run.trained.is_file():
        return None
    of_instances = run.read_record().get("kind") == "instances"
    plan = trained_instance_plan(run) if of_instances else trained_plan(run)
    return None if plan is None else _meaning(plan)


def _meaning(plan: Plan | InstancePlan) -> object:
    """What the outputs of a plan's network stand for, to be compared."""
    if isinstance(plan, InstancePlan):
        return list(plan.data.categories)
    labels = plan.data.labels
    return _label_meaning(labels)


def _label_meaning(labels: Labels) -> object:
    return (tuple(labels.classes.items()), labels.regions_order)


def _nnunet_classes(dataset: Mapping[str, object] | None, where: str) -> object | None:
    if dataset is None:
        return None
    try:
        labels = parse_labels(dataset.get("labels"), dataset.get("regions_class_order"), f"{where}: labels")
    except DatasetError as error:
        logger.debug("%s", error)
        return None
    return _label_meaning(labels)


def _tell(source: Source, done: Transfer, observer: Observer) -> None:
    total, taken = sum(done.sizes.values()), sum(done.sizes[name] for name in done.taken)
    observer.table(
        f"Weights to begin with, from {source.file}",
        ("part", "weights", "numbers", "", "why"),
        [(row.part, str(row.tensors), f"{row.values:,}", row.fate, row.reason) for row in done.rows()],
    )
    unused = f"; {counted(len(done.unused), 'weight')} of the file have no place here" if done.unused else ""
    observer.note(f"{taken / total:.0%} of the network's {total:,} numbers are {TAKEN} from there{unused}")
    # Another number of channels costs the first layer; more than that is another network.
    beyond = {name.rpartition(".")[0] for name in done.misfits()} - {next(iter(done.sizes)).rpartition(".")[0]}
    if beyond:
        observer.note(
            f"warning: {counted(len(beyond), 'layer')} beside the first and the last ones begin anew: the plan's network is "
            "not the one that was trained there. With the same plan (--plans, or --network, --patch-size and --spacing) all "
            "of them would fit."
        )
