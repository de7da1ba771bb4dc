"""Cross-validation of frames with instances, as far as it is one of instances."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from goodfit.commands.cross.kind import Inspected
from goodfit.commands.extensions import find_recipe
from goodfit.commands.instances.checking import checked
from goodfit.commands.instances.edits import measured_parts
from goodfit.commands.instances.measure import measure_instance_plan
from goodfit.commands.instances.predict import OPTIMISTIC
from goodfit.commands.instances.prepare import PreparedInstances, ignored_settings, new_plan, with_config
from goodfit.commands.places import known_digests
from goodfit.data.folds import FOLDS, all_split, find_splits, load_folds, make_folds
from goodfit.data.instances.dataset import content_key, open_instances
from goodfit.data.splits import SET_NAMES
from goodfit.data.wording import counted
from goodfit.errors import RunError, SplitError
from goodfit.planning.instances.fingerprint import measure_instances
from goodfit.planning.instances.plan import load_instance_plan, save_instance_plan
from goodfit.reporting.instances.fold_tables import instance_tables
from goodfit.tasks.instances.evaluation import evaluate_instances, read_results
from goodfit.tasks.instances.fold_scores import CROSS_VALIDATION, fold_means, spread_over_folds
from goodfit.tasks.instances.scores import load_instance_scores, save_instance_scores
from goodfit.training.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from goodfit.commands.cross.kind import Subject
    from goodfit.data.digests import Digests
    from goodfit.data.folds import Folds
    from goodfit.data.instances.dataset import InstanceDataset
    from goodfit.data.instances.model import Frame
    from goodfit.observer import Observer
    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.reporting.cross_validation import FoldTables
    from goodfit.tasks.instances.detection import Detection
    from goodfit.tasks.instances.scores import InstanceScores
    from goodfit.tasks.scoring import FoldSpread


class InstanceFolds:
    """``CrossKind`` of frames with instances."""

    def open(self, root: Path, group_by: str | None) -> InstanceDataset:
        """Open a dataset."""
        return open_instances(root, group_by=group_by)

    def content_key(self, dataset: InstanceDataset, digests: Digests) -> str:
        """Digest of the dataset's content."""
        return content_key(dataset, digests)

    def make_folds(self, dataset: InstanceDataset) -> Folds:
        """Divide the frames into five folds by video or other group, or into as many as there are groups.

        Raises:
            SplitError: there are too few groups to train, to decide when to stop, and to score.
        """
        found = find_splits(dataset)
        if found is not None:
            return load_folds(found, dataset)
        groups = len(dataset.groups())
        if groups < len(SET_NAMES):
            raise SplitError(
                f"{dataset.root}: {counted(groups, 'group' if dataset.grouped else 'frame')}, too few for a "
                f"cross-validation: a fold needs one to train on, one to decide when to stop, and one to score. Annotate "
                "more videos, or use `goodfit train`, which cuts videos into stretches of time."
            )
        folds = make_folds(dataset, min(FOLDS, groups))
        warnings = list(folds.warnings)
        if groups < FOLDS:
            warnings.append(f"there are {groups} groups only: {groups} folds, each scored on one group")
        if dataset.given_split is not None:
            warnings.append(
                "the sets that came with the dataset are not used: each frame is scored in one of the folds"
            )
        source = (
            folds.source.replace("nnU-Net's folds: ", "").replace("cases", "frames").replace("case names", "frames")
        )
        return replace(folds, source=source.split(". nnU-Net's own")[0], warnings=tuple(warnings))

    def inspect(self, subject: Subject, observer: Observer, *, fresh: bool) -> Inspected:
        """Check and measure the dataset, or recall what was found."""
        dataset: InstanceDataset = subject.dataset
        result = checked(dataset, subject.cache, observer, fresh=fresh)
        for line in [*ignored_settings(subject.explicit), *(problem.sentence for problem in result.problems)]:
            observer.note(line)
        presence = {frame.name: Counter(one.category for one in frame.instances) for frame in dataset.frames}
        fingerprint = measure_instances(dataset, result.hashes, key=content_key(dataset, known_digests(subject.cache)))
        return Inspected(presence, result.identical, fingerprint)

    def make_plan(self, subject: Subject, inspected: Inspected) -> InstancePlan:
        """Derive the plan of all folds; every frame has its part in it."""
        every = all_split(subject.dataset)
        explicit = with_config(subject.explicit, subject.settings)
        return new_plan(subject.dataset, inspected.fingerprint, every, explicit, subject.settings)

    def measure_plan(
        self, plan: InstancePlan, subject: Subject, inspected: Inspected, observer: Observer, *, refit: bool
    ) -> InstancePlan:
        """Complete a plan with what depends on this machine: steps of the first fold are timed."""
        dataset, settings = subject.dataset, subject.settings
        split = all_split(dataset, seed=settings.data.split_seed)
        # No run folder is touched: measuring reads frames and plan alone.
        run = RunFolder(subject.cache)
        prepared = PreparedInstances(dataset, settings, run, subject.cache, plan, split, inspected.fingerprint)
        recipe = find_recipe(settings.training)()
        return measure_instance_plan(prepared, recipe, observer, spent=0.0, refit=refit)

    def measured_parts(self, plan: InstancePlan) -> str:
        """Digest of what the measurement depends on."""
        return measured_parts(plan)

    def load_plan(self, path: Path) -> InstancePlan:
        """Read plan.json."""
        return load_instance_plan(path)

    def save_plan(self, plan: InstancePlan, path: Path) -> None:
        """Write plan.json."""
        save_instance_plan(plan, path)

    def load_scores(self, path: Path) -> InstanceScores:
        """Read scores.json of a fold."""
        return load_instance_scores(path)

    def save_scores(self, scores: InstanceScores, path: Path) -> None:
        """Write scores.json and the table of the frames."""
        save_instance_scores(scores, path)

    def fold_means(self, scores: InstanceScores) -> tuple[dict[str, float | None], dict[str, dict[str, float | None]]]:
        """Give COCO's numbers, and those of each category."""
        return fold_means(scores)

    def spread(self, scores: Mapping[str, InstanceScores]) -> FoldSpread:
        """Mean and spread over folds."""
        return spread_over_folds(scores)

    def pool(
        self, dataset: InstanceDataset, scores: Mapping[str, InstanceScores], runs: Mapping[str, RunFolder]
    ) -> InstanceScores:
        """Score the detections of all folds as one set of frames.

        Detections of different models stand in one order of scores then, which is why the mean over folds is given
        beside it. A frame that several folds score counts in the first of them.
        """
        if len(scores) == 1:
            (alone,) = scores.values()
            return alone.model_copy(update={"set_name": CROSS_VALIDATION})
        frames: list[Frame] = []
        found: list[Detection] = []
        taken: set[str] = set()
        for name, one in scores.items():
            own = [dataset.frame(frame.name) for frame in one.per_frame]
            detections = read_results(_predictions(runs[name]), own, dataset)
            for frame, detection in zip(own, detections, strict=True):
                if frame.name not in taken:
                    taken.add(frame.name)
                    frames.append(frame)
                    found.append(detection)
        first = next(iter(scores.values()))
        return evaluate_instances(
            frames,
            found,
            dataset.categories,
            masks="mask" in first.kinds,
            set_name=CROSS_VALIDATION,
            optimistic=any(one.optimistic for one in scores.values()),
            notes=list(
                dict.fromkeys(note for one in scores.values() for note in one.notes if note.startswith(OPTIMISTIC))
            ),
        )

    def tables(self, scores: Mapping[str, InstanceScores], together: InstanceScores | None) -> FoldTables:
        """Give what the page shows of the scores."""
        return instance_tables(scores, together)


def _predictions(run: RunFolder) -> Path:
    file = run.predictions / "test.json"
    if not file.is_file():
        raise RunError(f"{file}: is gone, and all folds together cannot be scored without it. Train the fold anew.")
    return file
