"""What a user can get wrong, as exceptions whose message names the thing and the way out.

The command line prints the message without a traceback and leaves with ``exit_code``. Anything that is not
a ``GoodfitError`` is a bug of ours and keeps its traceback.
"""

from __future__ import annotations


class GoodfitError(Exception):
    """Base of all errors a user can mend."""

    exit_code = 2


class DatasetError(GoodfitError):
    """The dataset folder, its dataset.json or one of its files is not what it should be."""

    exit_code = 1


class ImageFileError(DatasetError):
    """An image or label file is missing, unreadable, truncated or of an unsupported kind."""


class VideoError(GoodfitError):
    """A video is missing, unreadable, truncated, has no such frame, or cannot be written."""

    exit_code = 1


class SplitError(DatasetError):
    """A split cannot be made from these groups, or splits.json contradicts the dataset."""


class PlanError(GoodfitError):
    """plan.json, or an option that overrides it, asks for something that cannot be."""


class SettingsError(GoodfitError):
    """An option or a ``--set section.field=value`` is unknown or out of range."""


class RunError(GoodfitError):
    """A run folder is missing, incomplete, damaged or in use by another process."""

    exit_code = 1


class ResourceError(GoodfitError):
    """Disk or memory do not suffice for what was asked."""

    exit_code = 1


class HookError(GoodfitError):
    """A user's hook raised an exception."""

    exit_code = 1
