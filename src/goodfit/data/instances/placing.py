"""Where the pixels of an image entry are, and to which video or group and which moment it belongs."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from goodfit.data.instances import kinds
from goodfit.data.instances.folder import AmbiguousNameError, Folder, is_video_name
from goodfit.data.instances.model import ImageSource, VideoSource

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from goodfit.data.instances.coco import RawFile, RawImage
    from goodfit.data.instances.findings import Findings

VIDEO_FIELDS = ("video", "video_id", "video_name", "clip", "clip_id", "sequence", "sequence_id")
COARSER_FIELDS = ("group", "patient", "patient_id", "subject", "subject_id", "study", "study_id")
"""Taken before the video's name: a patient may have several videos."""
NUMBER_FIELDS = ("frame", "frame_id", "frame_index", "frame_number", "frame_idx", "frame_no")
TIME_FIELDS = ("timestamp", "time", "time_s", "seconds")
_TRAILING_NUMBER = re.compile(r"^(.*?)[_\-. ]*(?:frame|img|image|f)?[_\-. ]*(\d+)$", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """What one image entry tells.

    Attributes:
        source: the image file, or video and frame; None where it cannot be found (noted already).
        group: what must not be split; None where nothing groups.
        video: name of the video; "" where there is none.
        number: the frame's number in the video; None where there is none.
        time: seconds; None where there is none.
    """

    source: ImageSource | VideoSource | None
    group: str | None
    video: str
    number: int | None
    time: float | None


class Placer:
    """Places the image entries of a dataset.

    Args:
        folder: index of the dataset's files.
        group_by: expression on file names. Its group named ``group`` or ``video``, else its first one, else all it
            matches, is the group; the one named ``frame``, else the second one, is the frame's number.
        qualify: several files number their videos each from 1 on, so that a bare number needs the file's name.
        findings: takes the problems.
    """

    def __init__(self, folder: Folder, group_by: re.Pattern[str] | None, qualify: bool, findings: Findings) -> None:
        self._folder = folder
        self._group_by = group_by
        self._qualify = qualify
        self._findings = findings
        self.only_video_used = False

    def place(self, file: RawFile, image: RawImage) -> Place:
        """Find source, group and number of one entry."""
        fields = image.fields
        video, entry = self._video_of(file, fields)
        group = _first_text(fields, COARSER_FIELDS)
        number = self._number_of(file, image)
        time = _finite(_first(fields, TIME_FIELDS))
        told_video = video
        if self._group_by is not None:
            group, told = self._matched(file, image, video)
            video = video or group or ""
            number = told if number is None else number
        source = self._source(file, image, video, entry, number)
        if isinstance(source, VideoSource):
            # A group of --group-by may hold several videos, whose frames are numbered each by itself.
            video, number = told_video or source.path.stem, source.frame
        return Place(source, group or video or None, video, number, time)

    def _video_of(self, file: RawFile, fields: Mapping[str, Any]) -> tuple[str, str]:
        """Give the video's name, and how its file may be called."""
        value = _first(fields, VIDEO_FIELDS)
        if value is None or value == "":
            return "", ""
        entry = file.videos.get(str(value), {})
        names = [entry[key] for key in ("name", "file_name", "video_name") if isinstance(entry.get(key), str)]
        if names:
            path = entry.get("file_name") if isinstance(entry.get("file_name"), str) else names[0]
            return _stem(names[0]), str(path)
        name = _stem(str(value))
        return (f"{file.place}_{name}" if self._qualify and name.isdigit() else name), str(value)

    def _number_of(self, file: RawFile, image: RawImage) -> int | None:
        value = _first(image.fields, NUMBER_FIELDS)
        if value is None or value == "":
            return None
        number = _finite(value)
        if number is None or number != int(number) or number < 0:
            self._findings.add(kinds.BROKEN_NUMBER, file.shown, f"{value!r} of {image.label}")
            return None
        return int(number)

    def _matched(self, file: RawFile, image: RawImage, video: str) -> tuple[str | None, int | None]:
        assert self._group_by is not None
        match = self._group_by.search(image.name or video)
        if match is None:
            self._findings.add(kinds.GROUP_UNMATCHED, file.shown, image.label)
            return None, None
        named, plain = match.groupdict(), match.groups()
        group = named.get("group") or named.get("video") or (plain[0] if plain and not named else None) or match[0]
        frame = named.get("frame") or (plain[1] if len(plain) > 1 and not named else None)
        return group, int(frame) if frame and frame.isdigit() else None

    def _source(
        self, file: RawFile, image: RawImage, video: str, video_file: str, number: int | None
    ) -> ImageSource | VideoSource | None:
        add = self._findings.add
        try:
            if image.name and not is_video_name(image.name):
                path = self._folder.image(image.name, file.file.base, file.file.path.stem)
                if path is not None:
                    return ImageSource(path)
            found, number = self._video_file(image, video, video_file, number)
        except AmbiguousNameError as error:
            add(kinds.AMBIGUOUS_FILE, file.shown, str(error))
            return None
        if found is not None and number is not None:
            return VideoSource(found, number)
        if found is not None:
            add(kinds.NO_FRAME_NUMBER, file.shown, image.label)
        elif video_file and number is not None:
            add(kinds.MISSING_VIDEO, file.shown, video_file)
        else:
            add(kinds.MISSING_IMAGE, file.shown, image.label)
        return None

    def _video_file(
        self, image: RawImage, video: str, video_file: str, number: int | None
    ) -> tuple[Path | None, int | None]:
        """Find the video of an entry without an image file: by field, else by the image's name."""
        for name in (image.name if is_video_name(image.name) else "", video_file, video):
            path = self._folder.video(name) if name else None
            if path is not None:
                return path, _trailing_number(image.name) if number is None and name != image.name else number
        written = PurePosixPath(image.name.replace("\\", "/"))
        match = _TRAILING_NUMBER.match(written.stem)
        if video_file or match is None:
            return None, number
        number = int(match[2]) if number is None else number
        for name in (match[1], *reversed(written.parts[:-1])):
            found = self._folder.video(name) if name else None
            if found is not None:
                return found, number
        videos = self._folder.videos()
        if len(videos) == 1 and not match[1]:
            self.only_video_used = True
            return videos[0], number
        return None, number


def _first(fields: Mapping[str, Any], keys: tuple[str, ...]) -> Any:
    return next((fields[key] for key in keys if fields.get(key) not in (None, "")), None)


def _first_text(fields: Mapping[str, Any], keys: tuple[str, ...]) -> str | None:
    value = _first(fields, keys)
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else None


def _finite(value: Any) -> float | None:
    """Read a number, also from text; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _trailing_number(name: str) -> int | None:
    match = _TRAILING_NUMBER.match(PurePosixPath(name.replace("\\", "/")).stem)
    return int(match[2]) if match else None


def _stem(name: str) -> str:
    """Drop the ending of a video's name and a leading videos/; other names may hold dots of their own."""
    name = name.replace("\\", "/").removeprefix("videos/")
    return name[: name.rindex(".")] if is_video_name(name) else name
