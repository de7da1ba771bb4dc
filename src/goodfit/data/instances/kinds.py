"""Every kind of problem that annotations can have, with how grave it is.

An error means that images or annotations would be lost or wrong in training; a warning, that the reader knows what
to do, which the remedy then says, or that the data deserves a look.
"""

from __future__ import annotations

from goodfit.data.instances.findings import Kind

_EXPORT = "Export the annotations again, or mend the file."

# Annotation files
UNREADABLE_JSON = Kind("error", "annotation file that cannot be used", _EXPORT)
BROKEN_ENTRY = Kind("error", "entries that are not as COCO has them", _EXPORT)
DUPLICATE_IMAGE_ID = Kind(
    "error", "image ids given twice", "Give each image its own id; the objects of the two cannot be told apart."
)
REPEATED_IMAGE = Kind("warning", "images listed twice", "Their objects are joined. List each image once.")
IMAGE_IN_TWO_SETS = Kind("error", "images listed in two sets", "Remove them from one of the two sets.")
SIZES_DIFFER = Kind("error", "images listed twice with different sizes", "Correct width and height.")
DUPLICATE_ANNOTATION_ID = Kind(
    "warning", "annotation ids given twice", "All of them are kept. Other tools would drop objects: number them anew."
)
REPEATED_ANNOTATION = Kind("warning", "objects annotated twice, all alike", "The copies are dropped.")
UNKNOWN_IMAGE = Kind("error", "objects of images that are not listed", "Add the images to the list, or remove them.")

# Categories
CATEGORY_ID_TWICE = Kind("error", "category ids that stand for two names", "Give each category its own id.")
CATEGORY_NAME_TWICE = Kind("warning", "category names given to several ids", "They are taken for one category.")
CATEGORY_NAMELESS = Kind("warning", "categories without a name", "Give them one; the number is used instead.")
CATEGORY_NUMBERS_DIFFER = Kind(
    "warning", "category ids that mean different names in different files", "The files are joined by name."
)
CATEGORY_SIMILAR = Kind(
    "warning", "category names that differ in case, blanks or hyphens only", "Write them alike if they are one."
)
UNKNOWN_CATEGORY = Kind("error", "objects of an unknown category", "Add the category, or correct category_id.")
CATEGORY_EMPTY = Kind(
    "warning", "categories without any object", "Nothing can be learnt of them: annotate some, or remove them."
)

# Images and videos
MISSING_IMAGE = Kind("error", "missing image files", "Add the files, or remove the images from the list.")
MISSING_VIDEO = Kind(
    "error", "frames of missing videos", "Add the video below the dataset folder, named as the annotations name it."
)
AMBIGUOUS_FILE = Kind("error", "file names that fit several files", "Write the path relative to the JSON file.")
BROKEN_NUMBER = Kind("error", "frame numbers that are not whole numbers", "Number the frames of each video from 0.")
NO_FRAME_NUMBER = Kind(
    "error", "images of a video without a frame number", 'Add "frame" (counted from 0), or the image files.'
)
FRAME_BEYOND_END = Kind(
    "error", "frame numbers beyond the end of the video", "Frames count from 0: are these counted from 1?"
)
UNREADABLE_FILE = Kind("error", "files that cannot be read", "Copy them anew from their source.")
WRONG_SIZE = Kind(
    "error", "images of another size than the annotations say", "The objects would be misplaced: annotate these files."
)
MISSING_SIZE = Kind("warning", "images without width and height", "They are read from the files. Write them down.")
NO_GROUP = Kind("warning", "images without a group, while others have one", "Each is a group by itself.")
GROUP_UNMATCHED = Kind("error", "file names that --group-by does not match", "Write an expression that fits them all.")
VIDEO_IN_TWO_GROUPS = Kind("warning", "videos that are in two groups", "The groups are taken for one.")

# Boxes
BROKEN_BOX = Kind("error", "boxes that are not [x, y, width, height] in numbers", _EXPORT)
RELATIVE_BOX = Kind(
    "error", "files whose boxes are all smaller than a pixel", "The boxes seem to be shares of the image: use pixels."
)
BOX_OUTSIDE = Kind(
    "error", "boxes that lie for the most part outside the image", "Do they belong to an image of another size?"
)
BOX_OVER_EDGE = Kind("warning", "boxes that reach beyond the image", "They are clipped at its edge.")
BOX_EMPTY = Kind("warning", "boxes without width or height", "These objects are dropped.")
BOX_OFF_MASK = Kind(
    "warning", "boxes that do not fit their mask", "They are used as they are. Fit them anew if they should."
)
WRONG_AREA = Kind(
    "warning", "areas that are not those of the mask", "The mask's own are used where small and large are told apart."
)

# Masks
BROKEN_MASK = Kind("error", "masks that are neither polygons nor run-length codes", _EXPORT)
RLE_SIZE = Kind("error", "run-length codes of another size than the image", "Write the masks for this image size.")
RLE_DAMAGED = Kind("error", "damaged run-length codes", _EXPORT)
EMPTY_MASK = Kind("warning", "empty masks", "The object has only its box then, or is dropped where that is empty too.")
EMPTY_POLYGON = Kind("warning", "polygons without an area", "These polygons are left out.")
POLYGON_OUTSIDE = Kind("warning", "polygons that reach beyond the image", "They are clipped at its edge.")
POLYGON_TOUCHES = Kind(
    "warning", "polygons that cross or touch themselves", "They are filled as they are; look whether that is right."
)
LACKS_MASK = Kind(
    "warning", "objects without a mask, while most have one", "They are regions to ignore. Annotate their masks."
)
MASKS_UNUSED = Kind(
    "warning", "objects with a mask, while most have none", "Only boxes are learnt. Annotate the other masks."
)

# Sets
SAME_IMAGE = Kind("warning", "images that occur under two names", "Remove the copies.")
SAME_IN_TWO_SETS = Kind(
    "warning", "images that are in training and in another set", "The scores would be too good: remove the copies."
)
ALIKE_IN_TWO_SETS = Kind(
    "warning", "frames that look like one in training", "The scores would be too good: move whole videos to one set."
)
ALIKE_IN_TWO_GROUPS = Kind(
    "warning", "frames that look like one of another group", "Give them one group if they are of one video or patient."
)
NEIGHBOURS_IN_TRAINING = Kind(
    "warning", "sets with neighbours of training frames", "The scores would be too good: move whole videos to one set."
)
FEW_GROUPS = Kind(
    "warning",
    "fewer groups than sets",
    "The sets are stretches of the same videos, the scores optimistic: add videos, or give groups (--group-by).",
)
RARE_CATEGORY = Kind(
    "warning", "categories in fewer groups than sets", "Add videos that show them, or some set has none to score."
)
LOOKS_LIKE_VIDEO = Kind(
    "warning",
    "image names numbered like frames of videos",
    "Neighbouring frames would be in different sets: name the video with --group-by.",
)
