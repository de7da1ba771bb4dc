"""What is learnt after the training, and what it is for: foreign frames in a video are found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from goodfit.commands.instances.detector import Detector
from goodfit.data.instances.model import Frame, ImageSource
from goodfit.data.video.write import VideoWriter
from goodfit.phantoms.rooms.dataset import make_video
from goodfit.tasks.instances.finishing import BACKBONE_SHARE, effort, finish
from goodfit.tasks.instances.network import build_detector
from goodfit.tasks.instances.thresholds import OVERLAPS
from goodfit.tasks.instances.video_prediction import predict_video
from goodfit.tasks.instances.video_prediction.unusual import ranges
from goodfit.training.weights import weights_of

CPU = torch.device("cpu")


def test_thresholds_and_the_ordinary_are_learnt(make_plan, world) -> None:
    plan = make_plan(model={"nms_threshold": 0.55})
    torch.manual_seed(0)
    network = build_detector(plan).eval()
    before = {name: tensor.clone() for name, tensor in weights_of(network).items()}
    training = [world.frame(f"t{place}", group=f"video {place % 3}") for place in range(6)]
    validation = [world.frame(f"v{place}", group="other") for place in range(3)]
    told = []
    done = finish(
        network,
        plan,
        world.store,
        training,
        validation,
        CPU,
        fixed=False,
        on_progress=lambda now, of: told.append((now, of)),
    )
    assert set(done.thresholds.ap) == {f"{overlap:g}" for overlap in (*OVERLAPS, 0.55)}
    assert done.thresholds.frames == 3
    assert done.novelty is not None
    assert done.novelty.videos == 4
    assert len(done.novelty.weights) == 16
    assert told[-1] == (9, 9)
    assert all(torch.equal(before[name], tensor) for name, tensor in weights_of(network).items())
    asked = finish(network, plan, world.store, training, validation, CPU, fixed=True)
    assert asked.thresholds.nms_threshold == 0.55
    assert set(asked.thresholds.ap) == {"0.55"}
    assert asked.novelty is not None
    assert asked.novelty.threshold == pytest.approx(done.novelty.threshold)


def test_too_few_frames_teach_nothing(make_plan, world) -> None:
    plan = make_plan()
    network = build_detector(plan).eval()
    done = finish(network, plan, world.store, [world.frame("a")], [], CPU, fixed=False)
    assert done.novelty is None
    assert done.thresholds.nms_threshold == plan.model.nms_threshold
    assert "no validation frames" in done.thresholds.reasons["score"]


def test_effort_counts_frames_through_the_whole_network_up_to_a_limit() -> None:
    assert effort(10, 20) == 20 + 10 * BACKBONE_SHARE
    assert effort(10**6, 10**6) == effort(10**5, 10**5)


def room_frame(name: str, group: str, number: int) -> Frame:
    return Frame(name, group, number, None, 192, 256, ImageSource(Path(f"{name}.png")), ())


def test_foreign_frames_that_were_cut_into_a_video_are_found(make_plan, world, tmp_path) -> None:
    """Rooms with figures, of which some are known; into the video of another one, other pictures are cut."""
    plan = make_plan(data={"categories": ["person"]}, model={"image_min_size": 96, "image_max_size": 128})
    torch.manual_seed(0)
    network = build_detector(plan).eval()

    def known(videos: range) -> list[Frame]:
        frames = []
        for video in videos:
            for number, picture in enumerate(make_video(1, video, 40)):
                if number % 8 == 0:
                    name = f"room{video}_{number}"
                    world.images[name] = picture.image[::2, ::2].copy()
                    frames.append(room_frame(name, f"room {video}", number))
        return frames

    done = finish(network, plan, world.store, known(range(5)), known(range(5, 8)), CPU, fixed=False)
    assert done.novelty is not None
    stripes = np.zeros((192, 256, 3), np.uint8)
    stripes[::4] = (255, 0, 200)
    checks = np.zeros((192, 256, 3), np.uint8)
    checks[(np.indices((192, 256)) // 8).sum(0) % 2 == 0] = (40, 255, 90)
    pictures = [picture.image for picture in make_video(1, 9, 40)]
    cut = [*pictures[:12], *([checks] * 6), *pictures[12:30], *([stripes] * 4), *pictures[30:]]
    with VideoWriter(tmp_path / "cut.mp4", 256, 192, fps=8) as writer:
        for image in cut:
            writer.add(image)
    detector = Detector(network, plan, CPU, done.thresholds, done.novelty)
    seen = predict_video(
        detector.look,
        tmp_path / "cut.mp4",
        tmp_path / "out.mp4",
        categories=["person"],
        prepare=detector.prepare,
        unusual_from=done.novelty.threshold,
    )
    places = np.arange(50)
    foreign = ((places >= 12) & (places < 18)) | ((places >= 36) & (places < 40))
    assert seen.log.unusual[foreign].all()
    assert seen.log.unusual[~foreign].sum() <= 2, "a network with random weights knows rooms by little"
    found = [one for one in ranges(seen.log.times, seen.log.unusual, join=0.3) if one.frames > 1]
    assert [(one.first, one.last) for one in found] == [(12, 17), (36, 39)]
    assert [(one.start, one.end) for one in found] == [
        pytest.approx((1.5, 2.25), abs=0.01),
        pytest.approx((4.5, 5.0), abs=0.01),
    ]
