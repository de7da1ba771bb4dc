"""Weights to begin with: of ImageNet, of COCO, or from a file; found on disk or fetched from torchvision's server."""

from __future__ import annotations

import hashlib
import logging
import pickle
import re
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import MobileNet_V2_Weights, MobileNet_V3_Large_Weights, ResNet50_Weights
from torchvision.models.detection import (
    FasterRCNN_MobileNet_V3_Large_320_FPN_Weights,
    FasterRCNN_ResNet50_FPN_V2_Weights,
    FasterRCNN_ResNet50_FPN_Weights,
    MaskRCNN_ResNet50_FPN_V2_Weights,
    MaskRCNN_ResNet50_FPN_Weights,
)

from goodfit.errors import PlanError
from goodfit.files import replacing
from goodfit.interop.detectron2.weights import read_detectron2
from goodfit.tasks.instances.network import is_detectron2
from goodfit.training.weights import weights_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from goodfit.planning.instances.plan import InstanceModel, InstancePlan

logger = logging.getLogger(__name__)

_IMAGENET = {
    "resnet50_v2": ResNet50_Weights.IMAGENET1K_V1,
    "resnet50": ResNet50_Weights.IMAGENET1K_V1,
    "mobilenet_v3": MobileNet_V3_Large_Weights.IMAGENET1K_V1,
    "mobilenet_v2": MobileNet_V2_Weights.IMAGENET1K_V1,
}
_COCO_MASKS = {
    "resnet50_v2": MaskRCNN_ResNet50_FPN_V2_Weights.COCO_V1,
    "resnet50": MaskRCNN_ResNet50_FPN_Weights.COCO_V1,
    "mobilenet_v3": FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1,
}
_COCO_BOXES = _COCO_MASKS | {
    "resnet50_v2": FasterRCNN_ResNet50_FPN_V2_Weights.COCO_V1,
    "resnet50": FasterRCNN_ResNet50_FPN_Weights.COCO_V1,
}
_TIMEOUT = 20.0
"""Seconds without an answer after which the server counts as out of reach."""
_BODY = "backbone.body."
_OLD_NAMES = (
    (re.compile(r"^(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.(weight|bias)$"), r"\1.0.\2"),
    (re.compile(r"^rpn\.head\.conv\.(weight|bias)$"), r"rpn.head.conv.0.0.\1"),
)
_OLD_MASK_NAME = re.compile(r"^roi_heads\.mask_head\.mask_fcn(\d)\.(weight|bias)$")


@dataclass(frozen=True)
class LoadedWeights:
    """What a detector began with.

    Attributes:
        source: file, or "random".
        loaded: number of weights that were taken.
        left: names of the detector's weights that stay random, such as heads for other categories.
    """

    source: str
    loaded: int
    left: tuple[str, ...]


def load_weights(network: nn.Module, plan: InstancePlan) -> LoadedWeights:
    """Put the weights that ``plan.model.weights`` names into a new detector.

    Looked for in this order: a file, where the plan names one; torch's cache (``torch.hub.get_dir()``); torchvision's
    server, from which they go into the cache. What does not fit, such as heads for other categories, stays
    random and is logged; a backbone has to fit whole.

    Raises:
        PlanError: there is no such file and no way to fetch it, it is damaged, or belongs to another backbone.
    """
    model = plan.model
    if model.weights == "none":
        return LoadedWeights("random", 0, tuple(weights_of(network)))
    file = find_weights(model)
    if is_detectron2(str(file)):
        state: Mapping[str, Tensor] = read_detectron2(file, plan.data.std, len(model.anchor_ratios))
    else:
        state = read_state(file)
    loaded, left = _put(network, _named_as_ours(state), str(file))
    logger.info("%s: %d weights taken, %d stay random", file, loaded, len(left))
    return LoadedWeights(str(file), loaded, left)


def find_weights(model: InstanceModel) -> Path:
    """Find the file that a plan's weights are in; fetch it where it is not there.

    Raises:
        PlanError: there are no such weights, or no file and no network; names the two ways out.
    """
    if model.weights not in ("imagenet", "coco"):
        file = Path(model.weights).expanduser()
        if not file.is_file():
            raise PlanError(
                f"model.weights: {model.weights!r} is neither imagenet, coco or none, nor a file that exists."
            )
        return file
    coco = _COCO_MASKS if model.masks else _COCO_BOXES
    table: Mapping[str, Any] = _IMAGENET if model.weights == "imagenet" else coco
    if model.backbone not in table:
        raise PlanError(
            f"model.weights: torchvision has no COCO weights of {model.backbone}. Use --weights imagenet, or a "
            f"backbone that has them: {', '.join(sorted(table))}."
        )
    url: str = table[model.backbone].url
    file = Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]
    if not file.is_file():
        _fetch(url, file, model)
    return file


def _fetch(url: str, file: Path, model: InstanceModel) -> None:
    """Download into torch's cache; the name holds the beginning of the content's SHA-256."""
    logger.info("fetching %s", url)
    digest = hashlib.sha256()
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as answer, replacing(file) as temporary:
            with temporary.open("wb") as stream:
                while block := answer.read(2**20):
                    digest.update(block)
                    stream.write(block)
            expected = file.stem.rsplit("-", 1)[-1]
            if not digest.hexdigest().startswith(expected):
                raise OSError("what came is not what was asked for")
    except OSError as error:
        raise PlanError(
            f"The {model.weights} weights of {model.backbone} are not on this computer and cannot be fetched ({error}). "
            f"Either download {url} elsewhere and put it at {file} (or anywhere, with --weights FILE), or begin with "
            "random weights: --weights none."
        ) from error


def read_state(file: Path) -> dict[str, Tensor]:
    """Read weights by name from a .safetensors file, or from a .pth file without running anything in it.

    Raises:
        PlanError: the file is damaged or holds more than weights.
    """
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        content = torch.load(file, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise PlanError(f"{file}: these weights cannot be read ({_first_line(error)}).") from error
    except pickle.UnpicklingError as error:
        raise PlanError(
            f"{file}: this is no file of weights, or holds more than weights, which is not read for safety's sake "
            f"({_first_line(error)}). Save the state_dict() alone, best as .safetensors."
        ) from error
    for wrapper in ("model", "state_dict", "model_state_dict"):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict):
        raise PlanError(f"{file}: holds no weights by name.")
    state = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if not state:
        raise PlanError(f"{file}: holds no weights.")
    return state


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _named_as_ours(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Bring names of detectors and of classifiers, old and new, to those of our detectors."""
    plain = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    if not any(name.startswith("backbone.") for name in plain):
        # A classifier: what follows the features is of no use.
        features = {name.removeprefix("features."): tensor for name, tensor in plain.items()}
        return {_BODY + name: tensor for name, tensor in features.items()}
    return {_new_name(name): tensor for name, tensor in plain.items()}


def _new_name(name: str) -> str:
    match = _OLD_MASK_NAME.match(name)
    if match is not None:
        return f"roi_heads.mask_head.{int(match[1]) - 1}.0.{match[2]}"
    for pattern, new in _OLD_NAMES:
        name = pattern.sub(new, name)
    return name


@torch.no_grad()
def _put(network: nn.Module, state: Mapping[str, Tensor], source: str) -> tuple[int, tuple[str, ...]]:
    groups = {name for name, module in network.named_modules() if isinstance(module, nn.GroupNorm)}
    loaded, left = 0, []
    for name, own in weights_of(network).items():
        given = state.get(name)
        if name.rsplit(".", 1)[0] in groups and f"{name.rsplit('.', 1)[0]}.running_mean" in state:
            left.append(name)  # scale and shift that belong to a batch norm
        elif given is not None and given.shape == own.shape:
            own.copy_(given)
            loaded += 1
        elif name.startswith(_BODY) and not name.endswith("num_batches_tracked"):
            what = "lacks it" if given is None else f"has the shape {tuple(given.shape)} for {tuple(own.shape)}"
            raise PlanError(f"{source}: belongs to another backbone than the plan's: of {name} it {what}.")
        else:
            left.append(name)
    return loaded, tuple(left)
