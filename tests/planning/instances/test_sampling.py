from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from goodfit.errors import PlanError
from goodfit.planning.instances.plan import FrameSampling
from goodfit.planning.instances.sampling import choose_sampling, frame_weights, look_alikes, repeat_factors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from goodfit.planning.instances.fingerprint import InstanceFingerprint

Make = "Callable[..., Any]"
FAR = [0x0000000000000000, 0x00000000FFFFFFFF, 0xFFFFFFFF00000000, 0xFFFFFFFFFFFFFFFF]
PLAIN = FrameSampling(video_exponent=1, novelty=0, repeat_threshold=0, empty_share=1)


def _video(frame: Make, name: str, count: int, **rest: Any) -> list[Any]:
    return [frame(f"{name}{n:03d}", group=name, number=n, **rest) for n in range(count)]


def _shares(fingerprint: InstanceFingerprint, sampling: FrameSampling, train: Sequence[str]) -> dict[str, float]:
    shares: dict[str, float] = {}
    for name, weight in zip(train, frame_weights(fingerprint, sampling, train), strict=True):
        shares[name[0]] = shares.get(name[0], 0) + float(weight)
    return shares


def test_without_rules_every_frame_weighs_the_same(frame: Make, measured: Make) -> None:
    fingerprint = measured(_video(frame, "a", 9) + _video(frame, "b", 1))
    assert frame_weights(fingerprint, PLAIN, fingerprint.frames.names) == pytest.approx([0.1] * 10)


@pytest.mark.parametrize(("exponent", "share"), [(1.0, 0.9), (0.5, 0.75), (0.0, 0.5)])
def test_videos_share_by_the_root_of_their_length(frame: Make, measured: Make, exponent: float, share: float) -> None:
    fingerprint = measured(_video(frame, "a", 9) + _video(frame, "b", 1))
    sampling = PLAIN.model_copy(update={"video_exponent": exponent})
    assert _shares(fingerprint, sampling, fingerprint.frames.names)["a"] == pytest.approx(share)


def test_frames_that_look_alike_share_a_weight(frame: Make, measured: Make) -> None:
    frames = _video(frame, "a", 5)
    hashes = dict(zip([one.name for one in frames], [FAR[0], FAR[0] + 1, FAR[0] + 3, FAR[0] + 7, FAR[3]], strict=True))
    fingerprint = measured(frames, hashes=hashes)
    sampling = PLAIN.model_copy(update={"novelty": 1.0, "duplicate_distance": 3})
    assert frame_weights(fingerprint, sampling, fingerprint.frames.names) == pytest.approx([1 / 8] * 4 + [1 / 2])
    half = PLAIN.model_copy(update={"novelty": 0.5, "duplicate_distance": 3})
    assert frame_weights(fingerprint, half, fingerprint.frames.names) == pytest.approx([1 / 6] * 4 + [1 / 3])


def test_single_images_are_compared_with_all_others(frame: Make, measured: Make) -> None:
    frames = [frame(name, group=name) for name in "abcd"]
    fingerprint = measured(frames, hashes={"a": FAR[0], "b": FAR[0], "c": FAR[0], "d": FAR[2]})
    sampling = PLAIN.model_copy(update={"novelty": 1.0})
    assert frame_weights(fingerprint, sampling, list("abcd")) == pytest.approx([1 / 6] * 3 + [1 / 2])


def test_a_slow_change_does_not_chain_a_video_together() -> None:
    hashes = np.asarray([2**n - 1 for n in range(12)], np.uint64)
    gathered = look_alikes(hashes, np.zeros(12, np.int64), 3)
    assert gathered.tolist() == [0] * 4 + [1] * 4 + [2] * 4


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 3)), min_size=1, max_size=40), st.integers(0, 64))
def test_gatherings_are_numbered_and_stay_in_their_group(rows: list[tuple[int, int]], distance: int) -> None:
    groups = np.asarray([group for _, group in rows])
    gathered = look_alikes(np.asarray([value for value, _ in rows], np.uint64), groups, distance)
    assert sorted(set(gathered.tolist())) == list(range(gathered.max() + 1))
    for number in range(gathered.max() + 1):
        members = np.flatnonzero(gathered == number)
        assert len(set(groups[members].tolist())) == 1
        assert all((rows[members[0]][0] ^ rows[member][0]).bit_count() <= distance for member in members)


def test_repeat_factors_are_those_of_lvis() -> None:
    shown = [[1, 1], [1, 2], [1], [1], [], [1], [1], [1], [1], [1]]
    factors = repeat_factors(shown, 3, 0.4)
    assert factors == pytest.approx([1, 2, 1, 1, 1, 1, 1, 1, 1, 1])
    assert repeat_factors(shown, 3, 0) == pytest.approx([1] * 10)


def test_rare_categories_are_drawn_more(frame: Make, measured: Make) -> None:
    frames = [*_video(frame, "a", 24), frame("rare", group="a", number=99, categories=[2])]
    fingerprint = measured(frames, ["common", "rare"])
    sampling = PLAIN.model_copy(update={"repeat_threshold": 0.16})
    weights = dict(
        zip(fingerprint.frames.names, frame_weights(fingerprint, sampling, fingerprint.frames.names), strict=True)
    )
    assert weights["rare"] == pytest.approx(2 * weights["a000"])


def test_empty_frames_are_limited_but_kept(frame: Make, measured: Make) -> None:
    frames = _video(frame, "a", 2) + _video(frame, "e", 8, boxes=())
    fingerprint = measured(frames)
    names = fingerprint.frames.names
    assert _shares(fingerprint, PLAIN.model_copy(update={"empty_share": 0.25}), names)["e"] == pytest.approx(0.25)
    assert _shares(fingerprint, PLAIN, names)["e"] == pytest.approx(0.8)
    none = frame_weights(fingerprint, PLAIN.model_copy(update={"empty_share": 0.0}), names)
    assert min(none) > 0
    assert sum(none[2:]) < 1e-6
    only_empty = frame_weights(fingerprint, PLAIN.model_copy(update={"empty_share": 0.25}), names[2:])
    assert only_empty == pytest.approx([1 / 8] * 8)


@given(st.data())
def test_weights_are_probabilities_and_follow_their_frames(frame: Make, measured: Make, data: st.DataObject) -> None:
    count = data.draw(st.integers(2, 20))
    frames = [
        frame(
            f"f{n}",
            [(0, 0, 10, 10)] * data.draw(st.integers(0 if n else 1, 3)),
            group=data.draw(st.sampled_from("abc")),
            number=n,
        )
        for n in range(count)
    ]
    hashes = {one.name: data.draw(st.integers(0, 2**64 - 1)) for one in frames}
    fingerprint = measured(frames, hashes=data.draw(st.sampled_from([None, hashes])))
    sampling = FrameSampling(
        video_exponent=data.draw(st.floats(0, 1)),
        novelty=data.draw(st.floats(0, 1)),
        repeat_threshold=data.draw(st.floats(0, 1)),
        empty_share=data.draw(st.floats(0, 1)),
    )
    names = sorted(fingerprint.frames.names, key=fingerprint.frames.names.index)
    weights = frame_weights(fingerprint, sampling, names)
    assert weights.sum() == pytest.approx(1)
    assert (weights > 0).all()
    assert frame_weights(fingerprint, sampling, names).tolist() == weights.tolist()


def test_unknown_or_no_frames_are_refused(frame: Make, measured: Make) -> None:
    fingerprint = measured([frame("a")])
    with pytest.raises(PlanError, match="'b' is not in the fingerprint"):
        frame_weights(fingerprint, PLAIN, ["a", "b"])
    with pytest.raises(PlanError, match="no training frame"):
        frame_weights(fingerprint, PLAIN, [])


def test_the_rule_is_chosen_with_its_reasons(frame: Make, measured: Make) -> None:
    frames = _video(frame, "a", 4) + _video(frame, "e", 4, boxes=())
    without = choose_sampling(measured(frames), [one.name for one in frames])
    assert without.novelty == 0
    assert without.repeat_threshold == 0
    assert "50 %" in without.reasons["empty_share"]
    hashes = {one.name: 5 for one in frames}
    known = choose_sampling(measured(frames, [str(n) for n in range(40)], hashes), [one.name for one in frames])
    assert known.novelty == 0.5
    assert "in 2 of 2 videos" in known.reasons["novelty"]
    assert known.repeat_threshold == 0.025
    assert set(known.reasons) == set(FrameSampling.model_fields) - {"reasons"}
