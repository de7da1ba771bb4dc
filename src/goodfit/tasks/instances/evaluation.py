"""Scoring detections: COCO's numbers, overall and by group, and what was found, missed and invented in each frame."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from goodfit.data.wording import counted
from goodfit.errors import DatasetError
from goodfit.files import read_json
from goodfit.tasks.instances.coco_judge import CocoJudge
from goodfit.tasks.instances.matching import MATCH_IOU, MATCH_SCORE, match_frame
from goodfit.tasks.instances.metrics import MOST_DETECTIONS, Kind, coco_dataset, coco_results
from goodfit.tasks.instances.predicted_images import is_predictions, match_by_name
from goodfit.tasks.instances.reference import read_reference
from goodfit.tasks.instances.results import read_entries, read_results, write_reference, write_results
from goodfit.tasks.instances.scores import (
    BACKGROUND,
    Confusion,
    FrameScores,
    GroupScores,
    InstanceScores,
    KindScores,
    PartScores,
    ScoredKind,
    WorstFrame,
    apart,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from goodfit.data.instances.model import Frame
    from goodfit.tasks.instances.coco_judge import CocoTables
    from goodfit.tasks.instances.detection import Detection
    from goodfit.tasks.instances.matching import FrameMatch

    Progress = Callable[[int, int], None]
    Content = tuple[dict[str, Any], list[dict[str, Any]]]

__all__ = ["evaluate_files", "evaluate_instances", "read_results", "write_reference", "write_results"]

LONG_VIDEO = 50
"""Frames from which on a video is also scored by stretches of time."""
STRETCHES = 5
WORST_FRAMES = 12
_KINDS: dict[ScoredKind, Kind] = {"mask": "segm", "box": "bbox"}


def evaluate_instances(
    frames: Sequence[Frame],
    detections: Sequence[Detection],
    categories: Sequence[str],
    *,
    masks: bool,
    set_name: str = "test",
    optimistic: bool = False,
    notes: Sequence[str] = (),
    score: float = MATCH_SCORE,
    on_progress: Progress | None = None,
) -> InstanceScores:
    """Score what was found in frames.

    Args:
        frames: with their objects.
        detections: what was found in each, in its pixels, in the same order.
        categories: names of the categories 1, 2, ...
        masks: score masks as well as boxes; otherwise boxes alone.
        set_name: which frames these are.
        optimistic: the scores say little about other videos; ``notes`` should say why.
        notes: sentences for the reader.
        score: from which detections count in the confusion matrix and frame by frame.
        on_progress: called with (work done, work in all), in frames.
    """
    content: dict[ScoredKind, Content] = {
        kind: (coco_dataset(frames, categories), coco_results(detections, masks=kind == "mask"))
        for kind in (("mask", "box") if masks else ("box",))
    }
    told = [*notes, *_beyond_coco(frames, categories)]
    evaluation = _Evaluation(frames, detections, categories, content, on_progress, score)
    return evaluation.run(set_name=set_name, optimistic=optimistic, notes=told)


def evaluate_files(
    results: Path,
    reference: Path,
    *,
    set_name: str = "evaluation",
    only_predicted: bool = False,
    on_progress: Progress | None = None,
) -> InstanceScores:
    """Score a COCO result file against a COCO file; neither images nor videos are needed.

    Every image of the reference counts, also those that the results do not mention.

    Args:
        results: a list of detections with image_id, category_id, score, and bbox or segmentation (RLE) or both; or the
            predictions.json that ``goodfit predict`` writes for images, which are found by their names.
        reference: the annotations, with the ids that the results use.
        set_name: what to call the images.
        only_predicted: leave out images of the reference that a predictions.json does not list.
        on_progress: called with (work done, work in all), in frames.

    Raises:
        DatasetError: a file is missing, or is not what it should be; names file and entry.
    """
    true = read_reference(reference)
    raw = read_json(results, DatasetError)
    if is_predictions(raw):
        matched = match_by_name(results, raw, true, only_predicted=only_predicted)
        true, found = matched.reference, matched.entries
    else:
        places = true.places

        def find(entry: Mapping[str, Any]) -> int | None:
            return places.get(str(entry.get("image_id")))

        found = read_entries(results, find, true.frames, true.category_numbers)
    frames = true.frames
    masks = true.has_masks and (found.have_masks or not found.entries)
    content: dict[ScoredKind, Content] = {
        kind: (true.content(), found.content(masks=kind == "mask")) for kind in (("mask", "box") if masks else ("box",))
    }
    notes = [*true.notes, *found.notes]
    if true.has_masks and not masks:
        notes.append("The results have no masks, so boxes are scored.")
    silent = len(frames) - len({entry.place for entry in found.entries})
    if silent:
        notes.append(f"{silent} of {counted(len(frames), 'image')} of the reference have no detection.")
    notes += _beyond_coco(frames, true.categories)
    evaluation = _Evaluation(frames, found.detections(len(frames)), true.categories, content, on_progress)
    return evaluation.run(set_name=set_name, optimistic=False, notes=notes)


@dataclass
class _Evaluation:
    """One evaluation; ``content`` holds what COCO's code reads, for each kind of overlap."""

    frames: Sequence[Frame]
    detections: Sequence[Detection]
    categories: Sequence[str]
    content: Mapping[ScoredKind, Content]
    on_progress: Progress | None
    score: float = MATCH_SCORE
    done: int = 0

    def run(self, *, set_name: str, optimistic: bool, notes: Sequence[str]) -> InstanceScores:
        judges = {kind: CocoJudge(*content, _KINDS[kind]) for kind, content in self.content.items()}
        kinds, tables = {}, {}
        for kind, judge in judges.items():
            tables[kind] = judge.score()
            kinds[kind] = self._kind(tables[kind])
            self._advance(len(self.frames))
        main: ScoredKind = "mask" if "mask" in judges else "box"
        groups = self._groups(judges[main])
        per_frame, confusion = self._frames(masks=main == "mask")
        scores = InstanceScores(
            set_name=set_name,
            optimistic=optimistic,
            notes=list(notes),
            frames=len(self.frames),
            instances=_objects(self.frames),
            kinds=kinds,
            groups=groups,
            curves=tables[main].curves(self.categories),
            confusion=confusion,
            per_frame=per_frame,
        )
        worst = apart([frame for frame in scores.ranked() if frame.quality < 1], per_frame, WORST_FRAMES)
        scores.worst = [WorstFrame(name=frame.name, quality=frame.quality, what=frame.what) for frame in worst]
        return scores

    def _advance(self, frames: int) -> None:
        self.done += frames
        if self.on_progress is not None:
            # All frames for each kind, for the groups, for their parts, and for the matching.
            self.on_progress(min(self.done, self._work), self._work)

    @property
    def _work(self) -> int:
        return (len(self.content) + 3) * len(self.frames)

    def _kind(self, tables: CocoTables) -> KindScores:
        counts = Counter(one.category for frame in self.frames for one in frame.instances if not one.crowd)
        categories = {name: tables.category(place, counts[place + 1]) for place, name in enumerate(self.categories)}
        return KindScores(**tables.numbers().model_dump(), categories=categories)

    def _groups(self, judge: CocoJudge) -> dict[str, GroupScores]:
        members: dict[str, list[int]] = {}
        for place, frame in enumerate(self.frames):
            members.setdefault(frame.group, []).append(place)
        groups = {}
        if len(members) < len(self.frames):
            for group, places in sorted(members.items()):
                tables = judge.score([place + 1 for place in places])
                self._advance(len(places))
                parts = []
                for title, inside in self._parts(places):
                    part = judge.score([place + 1 for place in inside])
                    objects = _objects([self.frames[place] for place in inside])
                    parts.append(
                        PartScores(title=title, frames=len(inside), instances=objects, ap=part.ap, ap50=part.ap50)
                    )
                objects = _objects([self.frames[place] for place in places])
                groups[group] = GroupScores(
                    frames=len(places), instances=objects, ap=tables.ap, ap50=tables.ap50, parts=parts
                )
                self._advance(len(places))
        else:
            self._advance(2 * len(self.frames))
        return groups

    def _parts(self, places: Sequence[int]) -> list[tuple[str, list[int]]]:
        """The videos of a group, or fifths of one long video."""
        videos: dict[str, list[int]] = {}
        for place in places:
            videos.setdefault(self.frames[place].video, []).append(place)
        if len(videos) > 1:
            return sorted(videos.items())
        if "" in videos or len(places) < LONG_VIDEO:
            return []  # a group that is no video has no order in time
        ordered = sorted(places, key=lambda place: (self.frames[place].number, self.frames[place].name))
        stretches = [[int(place) for place in part] for part in np.array_split(np.array(ordered), STRETCHES)]
        return [(f"frames {self.frames[part[0]].number} to {self.frames[part[-1]].number}", part) for part in stretches]

    def _frames(self, *, masks: bool) -> tuple[list[FrameScores], Confusion]:
        """Match each frame for itself."""
        names = [*self.categories, BACKGROUND]
        background = len(self.categories)
        counts = np.zeros((len(names), len(names)), dtype=np.int64)
        per_frame = []
        for frame, detection in zip(self.frames, self.detections, strict=True):
            match = match_frame(frame, detection, masks=masks, score=self.score)
            per_frame.append(_frame_scores(frame, match, detection.distance))
            for pair in (*match.found, *match.confused):
                true = frame.instances[pair.instance].category - 1
                counts[true, int(detection.categories[pair.detection]) - 1] += 1
            for place in match.missed:
                counts[frame.instances[place].category - 1, background] += 1
            for place in match.false:
                counts[background, int(detection.categories[place]) - 1] += 1
            self._advance(1)
        return per_frame, Confusion(names=names, counts=counts.tolist(), iou=MATCH_IOU, score=self.score)


def _frame_scores(frame: Frame, match: FrameMatch, distance: float | None) -> FrameScores:
    found, confused = len(match.found), len(match.confused)
    missed, false = len(match.missed) + confused, len(match.false) + confused
    overlap = math.fsum(pair.iou for pair in match.found)
    weight = found + (missed + false) / 2
    return FrameScores(
        name=frame.name,
        group=frame.group,
        number=frame.number,
        instances=found + missed,
        found=found,
        missed=missed,
        false=false,
        confused=confused,
        mean_iou=overlap / found if found else math.nan,
        quality=overlap / weight if weight else math.nan,
        distance=math.nan if distance is None else distance,
    )


def _objects(frames: Sequence[Frame]) -> int:
    return sum(not one.crowd for frame in frames for one in frame.instances)


def _beyond_coco(frames: Sequence[Frame], categories: Sequence[str]) -> list[str]:
    """Say where COCO's limit of detections keeps the recall below 1."""
    crowded: dict[str, int] = {}
    for frame in frames:
        counts = Counter(one.category for one in frame.instances if not one.crowd)
        for category, count in counts.items():
            if count > MOST_DETECTIONS:
                name = categories[category - 1]
                crowded[name] = crowded.get(name, 0) + 1
    return [
        f"There are more than {MOST_DETECTIONS} objects of {name!r} in {counted(number, 'frame')}: COCO's numbers count "
        f"the {MOST_DETECTIONS} surest detections of each frame and category, so that the others there are missed."
        for name, number in crowded.items()
    ]
