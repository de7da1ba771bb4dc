"""The sound of a written video is that of its source, in step with the frames."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest

from goodfit.data.video.decode import iterate_frames
from goodfit.data.video.index import open_video
from goodfit.data.video.write import VideoWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    MakeVideo = Callable[..., Path]


def rewrite(source: Path, path: Path) -> Path:
    index = open_video(source)
    with VideoWriter(path, index.width, index.height, index) as writer:
        for _, time, image in iterate_frames(index):
            writer.add(image, time)
    return path


def packets(path: Path) -> list[tuple[float, bytes]]:
    """Time and content of every packet of sound."""
    with av.open(str(path)) as container:
        found = container.demux(container.streams.audio[0])
        return [(float((packet.pts or 0) * packet.time_base), bytes(packet)) for packet in found if packet.size]


def tone(path: Path) -> tuple[str, float, float, float]:
    """Codec, pitch in Hz, begin and length in seconds."""
    with av.open(str(path)) as container:
        stream: Any = container.streams.audio[0]
        frames = list(container.decode(stream))
        samples = np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames]).astype(float)
        pitch = np.argmax(np.abs(np.fft.rfft(samples))) * stream.rate / len(samples)
        return stream.codec_context.codec.canonical_name, float(pitch), frames[0].time, len(samples) / stream.rate


@pytest.mark.parametrize(
    ("name", "codec", "kind"),
    [
        ("source.mp4", "aac", {}),
        ("source.mov", "aac", {}),
        ("source.mkv", "libmp3lame", {}),
        ("source.webm", "libopus", {"codec": "libvpx-vp9", "bframes": None, "options": {"deadline": "realtime"}}),
    ],
)
def test_sound_that_mp4_takes_is_copied_bit_by_bit(
    make_video: MakeVideo, tmp_path: Path, name: str, codec: str, kind: dict[str, Any]
) -> None:
    source = make_video(name, audio=codec, **kind)
    written = rewrite(source, tmp_path / "out.mp4")
    before, after = packets(source), packets(written)
    assert [content for _, content in after] == [content for _, content in before]
    assert [time for time, _ in after] == pytest.approx([time for time, _ in before], abs=2e-3)
    assert tone(written)[1] == pytest.approx(440, abs=2)


@pytest.mark.parametrize("name", ["source.avi", "source.mkv"])
def test_other_sound_is_encoded_as_aac(make_video: MakeVideo, tmp_path: Path, name: str) -> None:
    written = rewrite(make_video(name, audio="pcm_s16le"), tmp_path / "out.mp4")
    codec, pitch, begin, seconds = tone(written)
    assert codec == "aac"
    assert pitch == pytest.approx(440, abs=2)
    assert begin == pytest.approx(0, abs=0.01)
    assert seconds == pytest.approx(2.4, abs=0.1)


def test_sound_and_frames_keep_their_distance(make_video: MakeVideo, tmp_path: Path) -> None:
    # The sound begins at 0 s, the first frame is shown at 4 s.
    source = make_video("source.mkv", pts=range(100, 160), audio="aac")
    written = open_video(rewrite(source, tmp_path / "out.mp4"))
    assert written.start == pytest.approx(4.0, abs=2e-3)
    assert tone(written.path)[2] == pytest.approx(0, abs=0.01)


def test_both_tracks_are_interleaved(make_video: MakeVideo, tmp_path: Path) -> None:
    written = rewrite(make_video("source.mp4", frames=250, audio="aac"), tmp_path / "out.mp4")
    with av.open(str(written)) as container:
        kinds = [packet.stream.type for packet in container.demux() if packet.size]
    changes = sum(one != other for one, other in pairwise(kinds))
    assert changes > 10


def test_a_silent_source_gives_a_silent_video(make_video: MakeVideo, tmp_path: Path) -> None:
    assert not open_video(rewrite(make_video("source.mp4"), tmp_path / "out.mp4")).has_audio
