"""From trained runs and images to label files."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from goodfit.commands.evaluate import score_run
from goodfit.commands.models import find_runs, is_of_instances, load_network, open_all
from goodfit.commands.previous_stage import scoring_models
from goodfit.commands.selection import load_selection
from goodfit.commands.trained import edits_since
from goodfit.data.inputs import InputCase, list_inputs
from goodfit.data.wording import counted
from goodfit.errors import SettingsError
from goodfit.files import read_json, write_json
from goodfit.interop.nnunet.given import given_store
from goodfit.observer import Observer
from goodfit.planning.plan import load_plan
from goodfit.tasks.segmentation.model import Effort, Model
from goodfit.tasks.segmentation.model import Prepared as PreparedImage
from goodfit.tasks.segmentation.predict import predict_cases
from goodfit.training.device import choose_device, inference_precision
from goodfit.training.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goodfit.commands.plan import Prepared
    from goodfit.planning.plan import Data
    from goodfit.preprocessing.store import StoredCase
    from goodfit.tasks.segmentation.evaluation import Scores
    from goodfit.training.recipe import Recipe

logger = logging.getLogger(__name__)

_PART = re.compile(r"(\d+)/(\d+)$")
STEP_SIZE = 0.5
TRACKER = "bytetrack"


def predict(
    run: str | Path,
    inputs: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    with_: Sequence[str | Path] = (),
    folds: Sequence[int | str] | None = None,
    checkpoint: str | None = None,
    tta: bool = False,
    step_size: float = STEP_SIZE,
    probabilities: bool = False,
    continue_: bool = False,
    part: str | tuple[int, int] | None = None,
    stride: int = 1,
    score: float | None = None,
    tracker: str = TRACKER,
    flag_unusual: bool = False,
    device: str | None = None,
    recipe: type[Recipe] | None = None,
    observer: Observer | None = None,
) -> list[Path]:
    """Predict every case of a folder with a trained run; of a run on instances also a video.

    Args:
        run: a run; a cross-validation, whose folds are averaged as logits; or the selection of ``select``, whose
            postprocessing is applied.
        inputs: folder with images named as in training (CASE_0000.ext, or CASE.ext); one such file; a text file (.txt)
            that lists one on each line; or a sequence of them.
        output: receives CASE.ext in the geometry of each input, and a dataset.json with the classes.
        with_: further runs or cross-validations, averaged with the first one as probabilities.
        folds: of cross-validations: names of the folds, by default every numbered one.
        checkpoint: "best" (by the watched metric) or "last"; default the best, and of a run imported from nnU-Net the last.
        tta: average over all mirrored copies: eight times the work in 3D for a little more quality.
        step_size: distance of neighbouring tiles as a share of the patch, in (0, 1].
        probabilities: also write CASE.npz with the class probabilities.
        continue_: leave cases alone whose output is there.
        part: "k/n": the k-th of n parts of the cases, for n machines; together they are all cases, each once.
        stride: of a run on instances: look at every so manyth frame of a video.
        score: likewise: from which an instance is drawn, and begins a track; default the run's own.
        tracker: likewise: "bytetrack" or "ocsort".
        flag_unusual: likewise: also write the time ranges of a video, or the images of a folder, that are unlike the
            training frames, to OUT.unusual.json, or OUTPUT/unusual.json.
        device: cpu, cuda, cuda:1; default the first GPU.
        recipe: the class that made the run's network, where it cannot be imported by name.
        observer: told about the progress.

    Returns:
        The files written.

    Raises:
        RunError: the folder is no run, or has no such checkpoint.
        DatasetError: no input is there, or some cases failed; the others are written.
        SettingsError: an option is out of range, or does not go with this kind of run.
    """
    observer = observer or Observer()
    places = [Path(run), *(Path(place) for place in with_)]
    if is_of_instances(places[0]):
        given = {
            "--with": with_,
            "--folds": folds,
            "--part": part,
            "--probabilities": probabilities,
            "--tta": tta,
            "--step-size": step_size != STEP_SIZE,
            "--continue": continue_,
        }
        refused = [name for name, value in given.items() if value]
        if refused or not isinstance(inputs, (str, Path)):
            raise SettingsError(
                f"{', '.join(refused) or 'a list of inputs'}: not for a run on instances. Leave it out."
            )
        from goodfit.commands.instances.predict import predict_instances

        return predict_instances(
            RunFolder(places[0]),
            Path(inputs),
            Path(output),
            checkpoint=checkpoint or "best",
            stride=stride,
            device=device,
            score=score,
            tracker=tracker,
            flag_unusual=flag_unusual,
            recipe=recipe,
            observer=observer,
        )
    of_instances = {
        "--score": score is not None,
        "--flag-unusual": flag_unusual,
        "--stride": stride != 1,
        "--tracker": tracker != TRACKER,
    }
    refused = [name for name, given in of_instances.items() if given]
    if refused:
        raise SettingsError(f"{', '.join(refused)}: only for a run on instances. Leave it out.")
    for place in places:
        _note_edits(place, folds, observer)
    wanted = parse_part(part)
    opened = open_all(
        places,
        folds=folds,
        checkpoint=checkpoint,
        device=choose_device(device),
        recipe=None if recipe is None else recipe(),
    )
    data = opened.models[0].plan.data
    cases = part_of(list_inputs(inputs, data.file_ending, len(data.channels)), wanted)
    postprocessing = opened.postprocessing
    if postprocessing is not None and postprocessing.steps:
        observer.note(
            "postprocessing: only the largest component of " + ", ".join(s.name for s in postprocessing.steps)
        )
    observer.stage("predict")
    written = predict_cases(
        opened.models,
        cases,
        Path(output),
        Effort(step_size, tta),
        probabilities=probabilities,
        continue_=continue_,
        finish=None if postprocessing is None else postprocessing.apply,
        on_progress=observer.advance,
    )
    if cases:
        describe_output(Path(output), data)
    return written


def parse_part(part: str | tuple[int, int] | None) -> tuple[int, int]:
    """Turn "2/5" into (2, 5); None is all of it, (1, 1).

    Raises:
        SettingsError: it is no such text, or k is not one of 1 to n.
    """
    if part is None:
        return 1, 1
    match = _PART.match(part.strip()) if isinstance(part, str) else None
    number, count = (int(match[1]), int(match[2])) if match else part if isinstance(part, tuple) else (0, 0)
    if not 1 <= number <= count:
        raise SettingsError(f"part {part}: write k/n with k from 1 to n, like 1/4, 2/4, 3/4 and 4/4 on four machines.")
    return number, count


def part_of(cases: Sequence[InputCase], part: tuple[int, int]) -> list[InputCase]:
    """Give one of n parts of the cases: every n-th by name.

    It depends on nothing but the names, neither on what is already predicted nor on the machine: the parts have no case
    in common and leave none out, and ``--continue`` may be used in each.
    """
    number, count = part
    return sorted(cases, key=lambda case: case[0])[number - 1 :: count]


def describe_output(folder: Path, data: Data) -> None:
    """Write a dataset.json with the classes beside predictions, for what is done with them next.

    A file that is there is never changed.
    """
    labels: dict[str, Any] = {"background": 0}
    labels |= {name: values[0] if len(values) == 1 else values for name, values in data.classes.items()}
    labels |= {} if data.ignore is None else {"ignore": data.ignore}
    content: dict[str, Any] = {
        "channel_names": {str(index): name for index, name in enumerate(data.channels)},
        "labels": labels,
        "file_ending": data.file_ending,
    }
    if data.regions_order is not None:
        content["regions_class_order"] = data.regions_order
    file = folder / "dataset.json"
    if not file.exists():
        write_json(file, content)
    elif read_json(file) != content:
        logger.info("%s: is there with another content, and stays as it is", file)


def _note_edits(place: Path, folds: Sequence[int | str] | None, observer: Observer) -> None:
    """Warn of edits in plan.json that came after the training."""
    if load_selection(place) is not None:
        return
    for run in find_runs(place, folds):
        edits = edits_since(run, load_plan(run.plan)) if run.plan.is_file() else []
        if edits:
            said = f"{', '.join(edits)} edited in plan.json after the training: without effect here"
            observer.note(f"warning: {said}")


def predict_test_cases(prepared: Prepared, observer: Observer, recipe: Recipe | None = None) -> Scores | None:
    """Predict the test cases of a run into its folder and score them; None where all cases were trained on.

    Args:
        prepared: the run.
        observer: told about the progress.
        recipe: of the training.
    """
    if not prepared.split.test:
        observer.note("no test cases: every case was trained on, so there is nothing to score")
        return None
    run, plan, wishes = prepared.run, prepared.plan, prepared.settings.prediction
    predict_set(prepared, prepared.split.test, observer, recipe)
    if wishes.probabilities:
        observer.note(f"probabilities of {counted(len(prepared.split.test), 'test case')} are in {run.predictions}")
    return score_run(prepared.dataset, prepared.split, run, plan.data.labels, observer)


def _stored_image(case: StoredCase) -> PreparedImage:
    return PreparedImage(torch.from_numpy(case.image[:]), case.properties)


def predict_set(
    prepared: Prepared,
    names: Sequence[str],
    observer: Observer,
    recipe: Recipe | None = None,
    *,
    continue_: bool = False,
) -> None:
    """Predict cases of a run's own dataset into its folder, as its settings say."""
    run, plan, wishes = prepared.run, prepared.plan, prepared.settings.prediction
    device = choose_device(prepared.settings.machine.device)
    network = load_network(run, plan, wishes.checkpoint, recipe).to(device)
    cases: list[InputCase] = [(name, prepared.dataset.case(name).images) for name in names]
    prepare = None
    if prepared.dataset.layout == "preprocessed":
        store = given_store(prepared.dataset, prepared.settings, plan)
        cascade = plan.chosen.previous_stage is not None
        first = given_store(prepared.dataset, prepared.settings, plan, previous=True) if cascade else None
        cases = [(name, (store.folder / f"{name}.b2nd",)) for name in names]

        def prepare(files: Sequence[Path]) -> list[PreparedImage]:
            name = files[0].name.removesuffix(".b2nd")
            image = _stored_image(store.case(name))
            return [image if first is None else image._replace(previous=_stored_image(first.case(name)))]

    observer.stage("predict the test cases")
    own = Model(network, plan, device, inference_precision(plan.training.precision, device), str(run.path))
    files = dict(cases)
    for model, some in scoring_models(own, run, names):
        predict_cases(
            [model],
            [(name, files[name]) for name in some],
            run.predictions,
            Effort(wishes.step_size, wishes.tta),
            probabilities=wishes.probabilities,
            continue_=continue_,
            prepare=prepare,
            on_progress=observer.advance,
        )
    describe_output(run.predictions, plan.data)
