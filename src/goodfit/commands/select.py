"""From finished cross-validations to the configuration or pair that predicts best."""

from __future__ import annotations

import itertools
import os
import shlex
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from goodfit import __version__
from goodfit.commands.cross.folder import CrossFolder
from goodfit.commands.models import find_runs
from goodfit.commands.postprocess import postprocess_files
from goodfit.commands.predict import describe_output
from goodfit.commands.selection import SELECTION, Candidate, SelectedModel, SelectionRecord, save_selection
from goodfit.commands.trained import trained_plan
from goodfit.data.dataset import Dataset, open_dataset
from goodfit.data.formats import label_ending
from goodfit.errors import RunError, SettingsError
from goodfit.files import read_json
from goodfit.observer import Observer
from goodfit.planning.plan import Plan, load_plan
from goodfit.settings import build_settings
from goodfit.tasks.segmentation.evaluation import Pair, evaluate_pairs
from goodfit.tasks.segmentation.folder_ensemble import ensemble_cases
from goodfit.tasks.segmentation.postprocessing import Postprocessing, determine, mean_dice
from goodfit.tasks.segmentation.scores import mean, save_scores, save_scores_csv

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from goodfit.settings import PredictionSettings

ENSEMBLES, PREDICTIONS = "ensembles", "predictions"
WHY_OPTIMISTIC = "Optimistic: these scores chose among the candidates, and whether to postprocess."
_SHOWN = 5


@dataclass(frozen=True)
class _Crossed:
    """A finished cross-validation and what its folds predicted."""

    folder: CrossFolder
    folds: list[str]
    plan: Plan
    dataset: Path
    wishes: PredictionSettings
    predictions: dict[str, Path]
    """Case -> label file, predicted by the fold that has not seen it."""

    def probabilities(self) -> dict[str, Path]:
        """Case -> .npz, for the cases that have one."""
        files = {name: file.parent / f"{name}.npz" for name, file in self.predictions.items()}
        return {name: file for name, file in files.items() if file.is_file()}


@dataclass
class _Contender:
    """A configuration or a pair, with its out-of-fold predictions."""

    members: list[_Crossed]
    predictions: dict[str, Path]
    classes: dict[str, float] = field(default_factory=dict)

    @property
    def dice(self) -> float:
        """Mean over classes."""
        return mean(self.classes.values())

    @property
    def name(self) -> str:
        """What tables call it."""
        return " + ".join(str(member.folder.path) for member in self.members)


@dataclass(frozen=True)
class Selected:
    """What a call of ``select`` leaves.

    Attributes:
        file: selection.json.
        record: its content.
        names: of the candidates, in the record's order.
    """

    file: Path
    record: SelectionRecord
    names: list[str]


def select(
    cross_validations: Sequence[str | Path],
    output: str | Path | None = None,
    *,
    folds: Sequence[int | str] | None = None,
    pairs: bool = True,
    observer: Observer | None = None,
) -> Selected:
    """Find the configuration, or the pair of them, that predicts best, and whether postprocessing helps.

    Each candidate is scored by the mean Dice over classes of its out-of-fold predictions; a pair by the average of their
    probabilities. For the best one it is decided whether keeping only the largest connected component helps
    (``tasks.segmentation.postprocessing``). The scores have then chosen, so they are marked as optimistic.

    Args:
        cross_validations: folders of finished cross-validations on one dataset.
        output: receives selection.json, the selected out-of-fold predictions and their scores; default ``selection``
            beside the first cross-validation.
        folds: look at these only; default every numbered one.
        pairs: also look at pairs, which needs probabilities (``goodfit cross-validate --probabilities``).
        observer: told about the progress.

    Raises:
        RunError: a folder is no finished cross-validation, they differ in dataset or cases, or probabilities are missing.
        SettingsError: the output holds something else, or none is given.
    """
    observer = observer or Observer()
    places = list(dict.fromkeys(Path(place) for place in cross_validations))
    if not places:
        raise SettingsError("select: give the folder of at least one cross-validation.")
    target = Path(output) if output is not None else places[0].parent / "selection"
    crossed = [_open(place, folds) for place in places]
    _require_same(crossed)
    for one, other in itertools.combinations(crossed, 2) if pairs else ():
        _require_probabilities(one)
        _require_probabilities(other)
    dataset = open_dataset(crossed[0].dataset)
    labels = crossed[0].plan.data.labels
    references = _references(dataset, crossed[0])
    _clear(target)
    contenders = [_Contender([one], one.predictions) for one in crossed]
    for one, other in itertools.combinations(crossed, 2) if pairs else ():
        observer.stage(f"{one.folder.path.name} + {other.folder.path.name}")
        first, second = one.probabilities(), other.probabilities()
        place = target / ENSEMBLES / _pair_name(one, other, crossed)
        files = {name: [first[name], second[name]] for name in references}
        written = ensemble_cases(files, place, labels, on_progress=observer.advance)
        contenders.append(_Contender([one, other], dict(zip(files, written, strict=True))))
    observer.stage("score")
    for done, contender in enumerate(contenders, start=1):
        contender.classes = mean_dice(_pairs(contender.predictions, references), labels)
        observer.advance(done, len(contenders))
    # Of equals the first: single configurations stand before pairs.
    ranked = sorted(contenders, key=lambda contender: -contender.dice)
    best = ranked[0]
    observer.stage("postprocessing")
    decided = determine(_pairs(best.predictions, references), labels, on_progress=observer.advance)
    observer.stage("evaluate")
    finished = _finish(best, decided, references, target, observer)
    record = _record(ranked, decided, finished, target, dataset)
    return Selected(save_selection(record, target), record, [contender.name for contender in ranked])


def _open(place: Path, folds: Sequence[int | str] | None) -> _Crossed:
    """Collect what the folds of a cross-validation predicted."""
    folder = CrossFolder(place)
    if not folder.record.is_file():
        raise RunError(f"{place}: this is no cross-validation (it has no {folder.record.name}). Give such folders.")
    record = folder.read()
    runs = find_runs(place, folds)
    predictions: dict[str, Path] = {}
    for run in runs:
        status = run.read_record().get("status")
        if status != "finished":
            raise RunError(
                f"{run.path}: this fold is {status}, not finished. Let `goodfit cross-validate` go on first."
            )
        plan = trained_plan(run) or load_plan(run.plan)
        ending = label_ending(plan.data.file_ending)
        for name in read_json(run.splits, RunError)["test"]:
            if name in predictions:
                raise RunError(f"{place}: case {name} is scored by two folds, so it is not clear which to take.")
            predictions[name] = run.predictions / f"{name}{ending}"
    missing = [str(file) for file in predictions.values() if not file.is_file()]
    if missing or not predictions:
        said = f"{missing[0]} is not there" if missing else "no case is scored"
        raise RunError(f"{place}: {said}. The folds' predictions are needed; run the cross-validation anew.")
    names = [run.path.name.removeprefix("fold_") for run in runs]
    plan = trained_plan(runs[0]) or load_plan(runs[0].plan)
    wishes = build_settings(dict(record.settings)).prediction
    return _Crossed(folder, names, plan, Path(record.dataset), wishes, predictions)


def _require_same(crossed: Sequence[_Crossed]) -> None:
    first = crossed[0]
    for other in crossed[1:]:
        here, there = first.folder.path, other.folder.path
        if first.plan.data.key != other.plan.data.key:
            raise RunError(
                f"{here} and {there} are of different datasets, or of two states of one. They do not compare."
            )
        if first.plan.data.labels != other.plan.data.labels:
            raise RunError(f"{here} and {there} have different classes. They do not compare.")
        differing = sorted(first.predictions.keys() ^ other.predictions.keys())
        if differing:
            raise RunError(
                f"{here} and {there} do not score the same cases ({', '.join(differing[:_SHOWN])} only in one). Finish "
                "both, on the same folds, or name the folds that both have with --folds."
            )


def _require_probabilities(crossed: _Crossed) -> None:
    missing = len(crossed.predictions) - len(crossed.probabilities())
    if missing:
        raise RunError(
            f"{crossed.folder.path}: probabilities of {missing} of {len(crossed.predictions)} cases are missing, which pairs "
            f"need. Make them with `goodfit cross-validate {crossed.dataset} --run {crossed.folder.path} --probabilities` "
            "(trains nothing anew), or leave pairs out with --no-pairs."
        )


def _references(dataset: Dataset, crossed: _Crossed) -> dict[str, Path]:
    references: dict[str, Path] = {}
    for name in sorted(crossed.predictions):
        label = dataset.case(name).label
        if label is None:
            raise RunError(f"{dataset.root}: case {name} has lost its label since it was scored.")
        references[name] = label
    return references


def _pairs(predictions: Mapping[str, Path], references: Mapping[str, Path]) -> dict[str, Pair]:
    return {name: Pair(predictions[name], reference) for name, reference in references.items()}


def _pair_name(one: _Crossed, other: _Crossed, crossed: Sequence[_Crossed]) -> str:
    numbers = [number for number, member in enumerate(crossed, start=1) if member in (one, other)]
    return "-".join(f"{number}_{crossed[number - 1].folder.path.name}" for number in numbers)


def _clear(target: Path) -> None:
    """Take away what an earlier selection left, and nothing else."""
    if target.is_file() or (target.is_dir() and any(target.iterdir()) and not (target / SELECTION).is_file()):
        raise SettingsError(f"{target}: holds something else than a selection. Choose another folder with --output.")
    for name in (ENSEMBLES, PREDICTIONS):
        shutil.rmtree(target / name, ignore_errors=True)


def _finish(
    best: _Contender, decided: Postprocessing, references: Mapping[str, Path], target: Path, observer: Observer
) -> float:
    """Write the selected out-of-fold predictions, postprocessed, and their scores; give their mean Dice."""
    place, data = target / PREDICTIONS, best.members[0].plan.data
    files = [best.predictions[name] for name in references]
    postprocess_files(files, place, decided, lambda done, total: None)
    describe_output(place, data)
    predictions = {name: place / best.predictions[name].name for name in references}
    scores = evaluate_pairs(
        _pairs(predictions, references),
        data.labels,
        set_name="cross-validation, selected",
        optimistic=True,
        on_progress=observer.advance,
        notes=[WHY_OPTIMISTIC],
    )
    save_scores(scores, target / "scores.json")
    save_scores_csv(scores, target / "scores.csv")
    return scores.mean_dice


def _record(
    ranked: Sequence[_Contender], decided: Postprocessing, finished: float, target: Path, dataset: Dataset
) -> SelectionRecord:
    best = ranked[0]
    wishes = best.members[0].wishes

    def beside(member: _Crossed) -> str:
        return Path(os.path.relpath(member.folder.path, target)).as_posix()

    return SelectionRecord(
        goodfit=__version__,
        dataset=str(dataset.root),
        cases=len(best.predictions),
        candidates=[
            Candidate(models=[beside(member) for member in one.members], dice=one.dice, classes=one.classes)
            for one in ranked
        ],
        selected=[SelectedModel(path=beside(member), folds=member.folds) for member in best.members],
        checkpoint=wishes.checkpoint,
        tta=wishes.tta,
        step_size=wishes.step_size,
        postprocessing=decided,
        dice=best.dice,
        dice_postprocessed=finished,
        command=_command(target, wishes),
    )


def _command(target: Path, wishes: Any) -> str:
    """The command that predicts as the folds' cases were predicted, with what was selected."""
    parts = ["goodfit", "predict", str(target), "IMAGES", "OUTPUT"]
    parts += ["--tta"] if wishes.tta else []
    parts += ["--step-size", f"{wishes.step_size:g}"] if wishes.step_size != 0.5 else []
    parts += ["--checkpoint", wishes.checkpoint] if wishes.checkpoint != "best" else []
    return shlex.join(parts)
