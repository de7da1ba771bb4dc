from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from goodfit.data.video.decode import iterate_frames
from goodfit.data.video.write import VideoWriter
from goodfit.errors import RunError
from goodfit.phantoms.rooms.dataset import make_video
from goodfit.tasks.instances.novelty import (
    NoveltyModel,
    digest,
    ledoit_wolf,
    pooled,
    watching,
)
from goodfit.tasks.instances.video_prediction.unusual import ranges

if TYPE_CHECKING:
    from pathlib import Path


def correlated(count: int, size: int = 12, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(size, size)) * np.geomspace(5, 0.05, size)[:, None]
    return random.normal(size=(count, size)) @ mixing + 3


@pytest.mark.parametrize(("count", "size"), [(8, 12), (60, 12), (2000, 5)])
def test_shrinkage_is_that_of_scikit_learn(count: int, size: int) -> None:
    covariance = pytest.importorskip("sklearn.covariance")
    features = correlated(count, size)
    ours, share = ledoit_wolf(features - features.mean(0))
    theirs = covariance.LedoitWolf().fit(features)
    assert share == pytest.approx(theirs.shrinkage_, rel=1e-6)
    assert ours == pytest.approx(theirs.covariance_, rel=1e-6)


def test_shrinkage_falls_with_the_number_of_frames() -> None:
    shares = [ledoit_wolf(correlated(count) - 3)[1] for count in (6, 60, 6000)]
    assert 1 >= shares[0] > shares[1] > shares[2] > 0


def videos_of(count: int, length: int = 10) -> list[str]:
    return [f"video {place // length:03d}" for place in range(count)]


def test_ordinary_frames_are_about_one_away_and_few_are_flagged() -> None:
    held_out = correlated(800, seed=1)
    model = NoveltyModel.fit(correlated(800), videos_of(800), held_out, [f"held {one}" for one in videos_of(800)])
    distances = model.distance(correlated(4000, seed=2))
    assert 0.7 < np.sqrt(np.mean(distances**2)) < 1.15
    assert model.unusual(distances).mean() < 0.01
    assert model.unusual(model.distance(correlated(50, seed=3) + 6)).mean() > 0.9
    assert model.videos == 160


def test_one_odd_video_does_not_make_everything_ordinary() -> None:
    features, held_out = correlated(100), correlated(50, seed=1)
    videos, held = videos_of(100), [f"held {one}" for one in videos_of(50)]
    calm = NoveltyModel.fit(features, videos, held_out, held)
    held_out[:10] += 40
    odd = NoveltyModel.fit(features, videos, held_out, held)
    assert odd.threshold < 1.3 * calm.threshold
    assert odd.unusual(odd.distance(held_out[:10])).all()


def test_a_few_frames_do_not_judge_the_many() -> None:
    """Two of 112 frames are a kind of their own, as in a set of microscopy: what is far from these is not unusual."""
    random = np.random.default_rng(3)
    features = random.normal(size=(112, 20))
    features[:2] = 3 + 1e-4 * features[:2]
    videos = ["small"] * 2 + ["large"] * 110
    other = random.normal(size=(30, 20))
    model = NoveltyModel.fit(features, videos, other, ["other"] * 30)
    assert model.threshold < 5
    assert model.unusual(model.distance(other + 30)).all()
    assert model.videos == 2, "the large one has no judge"


def test_directions_that_hardly_vary_count_most() -> None:
    features = np.random.default_rng(0).normal(size=(500, 2)) * (10, 0.1)
    model = NoveltyModel.fit(features, videos_of(500))
    wide, narrow = model.distance(features.mean(0) + np.array([[5.0, 0], [0, 5.0]]))
    assert narrow > 20 * wide


def test_fewer_frames_than_features_and_constant_features() -> None:
    features = np.concatenate([correlated(20, 50), np.full((20, 3), 7.0)], 1)
    model = NoveltyModel.fit(features, videos_of(20))
    assert np.isfinite(model.distance(features)).all()
    assert model.distance(features + 100).min() > model.threshold
    constant = NoveltyModel.fit(np.full((6, 4), 2.0), ["one"] * 6)
    assert constant.distance(np.full((1, 4), 2.0)) == pytest.approx([0])


@pytest.mark.parametrize("videos", [["one"] * 40, videos_of(40), [str(place) for place in range(40)]])
def test_without_held_out_frames_videos_judge_each_other(videos: list[str]) -> None:
    features = correlated(40, 30)
    model = NoveltyModel.fit(features, videos)
    assert model.threshold > np.quantile(model.distance(features), 0.99)
    assert model.videos == max(2, len(set(videos)))


@given(st.integers(4, 12), st.integers(1, 5))
def test_any_few_frames_of_any_few_videos_give_a_threshold(count: int, videos: int) -> None:
    model = NoveltyModel.fit(correlated(count, 3), [str(place % videos) for place in range(count)])
    assert np.isfinite(model.threshold)
    assert model.threshold >= 0


def test_model_is_the_same_after_saving(tmp_path: Path) -> None:
    model = NoveltyModel.fit(correlated(50), videos_of(50), weights="abc")
    model.save(tmp_path / "novelty.safetensors")
    again = NoveltyModel.load(tmp_path / "novelty.safetensors")
    features = correlated(20, seed=4)
    assert np.array_equal(model.distance(features), again.distance(features))
    for name in ("threshold", "videos", "weights"):
        assert getattr(again, name) == getattr(model, name)


def test_other_files_are_refused(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    with pytest.raises(RunError, match="no such file"):
        NoveltyModel.load(tmp_path / "none.safetensors")
    save_file({"mean": np.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(RunError, match="no novelty model"):
        NoveltyModel.load(tmp_path / "other.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"nothing of the kind")
    with pytest.raises(RunError, match="damaged"):
        NoveltyModel.load(tmp_path / "broken.safetensors")


def test_features_are_the_means_of_the_levels() -> None:
    levels = {"0": torch.rand(2, 3, 8, 8), "1": torch.rand(2, 3, 4, 4), "pool": torch.rand(2, 3, 2, 2)}
    features = pooled(levels, [(32, 32), (32, 32)])
    assert features.shape == (2, 6)
    assert features[1, 4] == pytest.approx(float(levels["1"][1, 1].mean()), abs=1e-6)


def test_what_lies_beyond_a_smaller_image_of_a_batch_does_not_count() -> None:
    whole = {"0": torch.rand(1, 3, 8, 8), "1": torch.rand(1, 3, 4, 4)}
    alone = pooled(
        {name: level[:, :, : 5 >> shift, : 6 >> shift] for shift, (name, level) in enumerate(whole.items())}, [(20, 24)]
    )
    assert pooled(whole, [(17, 24)])[0, :3] == pytest.approx(alone[0, :3], abs=1e-6)


def test_features_are_taken_while_watching_only() -> None:
    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = Backbone()

    class Backbone(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"0": images}

    network = Network()
    with watching(network, [(16, 16), (16, 16)]) as taken:
        network.backbone(torch.ones(2, 3, 4, 4, requires_grad=True))
    network.backbone(torch.ones(2, 3, 4, 4))
    assert [features.tolist() for features in taken] == [[[1.0] * 3] * 2]


def test_other_weights_have_another_digest() -> None:
    weights = {"a": torch.ones(3), "b": torch.zeros(2, 2, dtype=torch.bfloat16)}
    assert digest(weights) == digest(dict(reversed(weights.items())))
    assert digest(weights) != digest({**weights, "a": torch.tensor([1, 1, 1.001])})
    assert digest({"a": torch.ones(2, 3).T}) == digest({"a": torch.ones(3, 2)})


def colours(image: np.ndarray) -> np.ndarray:
    """Stand-in for the backbone: means and spreads of the colours in a grid of 3 x 4 places."""
    cells = image[:192, :256].reshape(3, 64, 4, 64, 3).astype(float)
    return np.concatenate([cells.mean((1, 3)).ravel(), cells.std((1, 3)).ravel()])


def test_frames_of_another_place_are_found_in_a_video(tmp_path: Path) -> None:
    """The second half of a known room's video, with frames of another room and of noise cut in."""
    known = [picture.image for picture in make_video(1, 0, 80)]
    other = [picture.image for picture in make_video(2, 5, 6)]
    noise = list(np.random.default_rng(0).integers(0, 255, (3, 192, 256, 3), dtype=np.uint8))

    def features_of(name: str, images: list[np.ndarray]) -> np.ndarray:
        with VideoWriter(tmp_path / name, 256, 192, fps=8) as writer:
            for image in images:
                writer.add(image)
        return np.array([colours(image) for _, _, image in iterate_frames(tmp_path / name)])

    ordinary = features_of("known.mp4", known)
    model = NoveltyModel.fit(ordinary[::4], ["known"] * 20, ordinary[2::4], ["known"] * 20)
    features = features_of("cut.mp4", [*known[41:61:2], *other, *known[61::2], *noise])
    times, flags = [number / 8 for number in range(29)], model.unusual(model.distance(features))
    foreign = np.array([10 <= number < 16 or number >= 26 for number in range(29)])
    assert flags[foreign].all()
    assert flags[~foreign].sum() <= 2
    found = ranges(times, flags, join=0.3)
    assert any(one.start == pytest.approx(1.25, abs=0.2) and one.end == pytest.approx(2.0, abs=0.2) for one in found)
    assert found[-1].end == pytest.approx(29 / 8, abs=0.01)
