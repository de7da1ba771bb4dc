"""Which files are videos, and what is said of those that are not or are not whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from goodfit.data.video.containers import open_container, video_stream
from goodfit.data.video.index import open_video
from goodfit.errors import VideoError

if TYPE_CHECKING:
    from collections.abc import Callable

    MakeVideo = Callable[..., Path]


@pytest.mark.parametrize("name", ["video.mp4", "video.mov", "video.avi", "video.mkv"])
@pytest.mark.parametrize("share", [0.4, 0.97])
def test_truncated_videos_are_refused_by_name(make_video: MakeVideo, name: str, share: float) -> None:
    whole = make_video(name)
    content = whole.read_bytes()
    broken = whole.with_name("broken" + whole.suffix)
    broken.write_bytes(content[: int(share * len(content))])
    with pytest.raises(VideoError, match=r"broken\.\w+: the video is truncated.*Copy it anew"):
        open_container(broken)
    open_container(whole).close()


@pytest.mark.parametrize("flags", ["+faststart", "frag_keyframe+empty_moov"])
def test_a_truncated_mp4_with_its_index_in_front_is_refused(make_video: MakeVideo, flags: str) -> None:
    import av

    source = make_video()
    path = source.with_name("front.mp4")
    with av.open(str(source)) as read, av.open(str(path), "w", container_options={"movflags": flags}) as write:
        stream = write.add_stream_from_template(read.streams.video[0])
        for packet in read.demux(video=0):
            if packet.size:
                packet.stream = stream
                write.mux(packet)
    assert open_video(path).frame_count == 60
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(VideoError, match="truncated"):
        open_container(path)


@pytest.mark.parametrize("content", [b"just some text " * 100, b"\0" * 5000])
@pytest.mark.parametrize("name", ["video.mp4", "video.txt"])
def test_what_is_no_video_is_refused_by_name(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(VideoError, match=rf"{name}: this is no video.*ffmpeg -i"):
        open_container(path)


def test_an_avi_header_alone_is_refused(tmp_path: Path) -> None:
    (tmp_path / "video.avi").write_bytes(b"RIFF\x10\0\0\0AVI junk and more of it")
    with pytest.raises(VideoError, match=r"video\.avi: the file has no video track"):
        open_video(tmp_path / "video.avi")


def test_missing_and_empty_files_and_folders_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(VideoError, match=r"empty\.mp4: the file is empty"):
        open_container(tmp_path / "empty.mp4")
    with pytest.raises(VideoError, match=r"none\.mp4: there is no such file"):
        open_container(tmp_path / "none.mp4")
    with pytest.raises(VideoError, match="this is no file"):
        open_container(tmp_path)


def test_a_picture_is_no_video(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / "picture.png")
    with pytest.raises(VideoError, match="no video"):
        open_container(tmp_path / "picture.png")


def test_a_playlist_that_names_other_files_is_not_followed(make_video: MakeVideo, tmp_path: Path) -> None:
    make_video("part.ts")
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:2.4,\npart.ts\n#EXT-X-ENDLIST\n"
    (tmp_path / "list.mp4").write_text(playlist)
    with pytest.raises(VideoError, match="no video"):
        open_container(tmp_path / "list.mp4")


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    import av

    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with open_container(path) as container, pytest.raises(VideoError, match=r"sound\.mp4: the file has no video track"):
        video_stream(container, path)


def test_a_video_without_frames_is_refused(make_video: MakeVideo) -> None:
    path = make_video("video.avi", frames=0)
    with pytest.raises(VideoError, match=r"video\.avi"):
        open_video(path)


def test_a_name_like_an_address_is_a_file(make_video: MakeVideo, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video("concat:b.mkv")
    monkeypatch.chdir(path.parent)
    assert open_video(Path(path.name)).frame_count == 60
