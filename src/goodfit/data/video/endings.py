"""Which file names are those of videos; told without loading the decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

VIDEO_ENDINGS = (
    ".mp4",
    ".mov",
    ".avi",
    ".mkv",
    ".m4v",
    ".webm",
    ".mpg",
    ".mpeg",
    ".wmv",
    ".ts",
    ".m2ts",
    ".mts",
    ".3gp",
)
"""In lower case."""


def is_video(path: Path) -> bool:
    """Whether the name of a file ends as a video's does."""
    return path.suffix.lower() in VIDEO_ENDINGS
