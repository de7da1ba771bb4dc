"""Torchvision's detection recipe on the frames of a goodfit run, in a process of its own.

What torchvision's reference training script does by default on one device: the library's Mask R-CNN (Faster R-CNN
for boxes) as it comes, SGD of 0.0025 for two images (0.02 for eight devices, divided by eight) with momentum 0.9 and
weight decay 1e-4, a linear warm-up over the first epoch or 1,000 steps, tenfold drops after 16 and 22 of 26 epochs
(here: of the time), horizontal flips, float32. It gets the frames decoded and resized already, and its whole time for
training: reading, resizing and scoring are not counted, which is to its advantage.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.models import mobilenet_v2
from torchvision.models.detection import FasterRCNN, MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import _mobilenet_extractor
from torchvision.ops import FrozenBatchNorm2d
from torchvision.transforms.v2.functional import horizontal_flip_image

from common import HERE
from goodfit.data.instances.dataset import open_instances
from goodfit.data.instances.masks import encode_mask
from goodfit.data.instances.splits import load_instance_split
from goodfit.planning.instances.plan import load_instance_plan
from goodfit.preprocessing.frames_fill import fill_frames
from goodfit.tasks.instances.detection import Detection
from goodfit.tasks.instances.evaluation import evaluate_instances
from goodfit.tasks.instances.targets import frame_target
from goodfit.training.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor, nn

    from goodfit.data.instances.model import Frame
    from goodfit.planning.instances.plan import InstancePlan
    from goodfit.preprocessing.frames import FrameStore

    Sample = tuple[Tensor, dict[str, Tensor]]

BATCH, RATE = 2, 0.02 / 8
DROPS = (16 / 26, 22 / 26)
WARMUP_STEPS = 1000
PROCESSES = 2
ANCHORS = ((32, 64, 128, 256, 512),) * 3
"""As in the library's own detectors on mobile backbones."""
CPU = torch.device("cpu")


class Frames(Dataset):  # type: ignore[type-arg]
    """Frames and their targets, each flipped half of the times."""

    def __init__(self, store: FrameStore, frames: Sequence[Frame], *, masks: bool, flip: bool) -> None:
        self.store, self.frames, self.masks, self.flip = store, frames, masks, flip

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, place: int) -> Sample:
        frame = self.frames[place]
        image = torch.from_numpy(self.store.get(frame.name).copy()).permute(2, 0, 1)
        height, width = image.shape[-2:]
        target = frame_target(frame, height, width, masks=self.masks).tensors(height, width, CPU)
        if self.flip and torch.rand(()) < 0.5:
            image = horizontal_flip_image(image)
            target["boxes"] = target["boxes"][:, [2, 1, 0, 3]] * torch.tensor([-1, 1, -1, 1]) + torch.tensor(
                [width, 0, width, 0]
            )
            if self.masks:
                target["masks"] = target["masks"].flip(-1)
        return image.float() / 255, target


def build(plan: InstancePlan, weights: Path | None) -> nn.Module:
    """Make the library's detector on MobileNetV2 with a feature pyramid, all layers trained."""
    norm = FrozenBatchNorm2d if weights is not None else torch.nn.BatchNorm2d
    body = mobilenet_v2(norm_layer=norm)
    if weights is not None:
        body.load_state_dict(torch.load(weights, weights_only=True), strict=False)
    backbone = _mobilenet_extractor(body, fpn=True, trainable_layers=6)
    make = MaskRCNN if plan.model.masks else FasterRCNN
    network: nn.Module = make(
        backbone,
        len(plan.data.categories) + 1,
        min_size=plan.model.image_min_size,
        max_size=plan.model.image_max_size,
        rpn_anchor_generator=AnchorGenerator(ANCHORS, ((0.5, 1.0, 2.0),) * len(ANCHORS)),
    )
    return network


def endless(frames: Frames, batch_size: int) -> Iterator[tuple[list[Tensor], list[dict[str, Tensor]]]]:
    """Give shuffled batches for ever."""
    loader: DataLoader[Sample] = DataLoader(
        frames,
        batch_size,
        shuffle=True,
        num_workers=PROCESSES,
        drop_last=True,
        persistent_workers=True,
        collate_fn=lambda samples: tuple(map(list, zip(*samples, strict=True))),
    )
    while True:
        yield from loader


class Recipe:
    """The optimizer, its schedule by the share of the time that has passed, and a step."""

    def __init__(self, network: nn.Module, batch_size: int, warmup: int) -> None:
        self.network = network.train()
        self.rate, self.warmup = RATE * batch_size / BATCH, warmup
        parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.SGD(parameters, self.rate, momentum=0.9, weight_decay=1e-4)

    def step(self, images: list[Tensor], targets: list[dict[str, Tensor]], number: int, share: float) -> float:
        """Take a step; give its loss."""
        warm = min(1.0, 0.001 + (number + 1) / self.warmup)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * warm * 0.1 ** sum(share >= drop for drop in DROPS)
        loss = sum(self.network(images, targets).values())
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())


@torch.inference_mode()
def detect(network: nn.Module, store: FrameStore, frame: Frame) -> Detection:
    """Find the instances of a frame, in its original pixels."""
    image = torch.from_numpy(store.get(frame.name).copy()).permute(2, 0, 1).float() / 255
    intake = network.get_submodule("transform")
    images, _ = intake([image])
    features = network.get_submodule("backbone")(images.tensors)
    regions, _ = network.get_submodule("rpn")(images, features)
    found, _ = network.get_submodule("roi_heads")(features, regions, images.image_sizes)
    restore: Callable[..., list[dict[str, Tensor]]] = intake.postprocess
    (found,) = restore(found, images.image_sizes, [(frame.height, frame.width)])
    masks = None
    if "masks" in found:
        masks = [encode_mask(mask[0].numpy() > 0.5) for mask in found["masks"]]
    return Detection(found["boxes"].numpy(), found["scores"].numpy(), found["labels"].numpy(), masks)


def main() -> None:
    """Train for the time, score the test frames, write both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("run", type=Path, help="a planned run of goodfit: its split, its frame size")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--batch-size", type=int, default=BATCH)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--group-by", help="the pattern that the run was planned with")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    run = RunFolder(options.run)
    dataset, plan = open_instances(options.dataset, group_by=options.group_by), load_instance_plan(run.plan)
    split = load_instance_split(run.splits, dataset)
    model = plan.model
    folder = HERE / ".cache" / "recipe" / f"{dataset.name}-{model.image_min_size}x{model.image_max_size}"
    store = fill_frames(dataset.frames, folder, model.image_min_size, model.image_max_size)
    train = Frames(store, [dataset.frame(name) for name in split.train], masks=model.masks, flip=True)
    network = build(plan, options.weights)
    recipe = Recipe(network, options.batch_size, max(1, min(WARMUP_STEPS, len(train) // options.batch_size - 1)))
    losses: list[float] = []
    began = time.perf_counter()
    for number, (images, targets) in enumerate(endless(train, options.batch_size)):
        share = (time.perf_counter() - began) / (60 * options.minutes)
        if share >= 1:
            break
        losses.append(recipe.step(images, targets, number, share))
        if number % 20 == 0:
            print(f"step {number}: {share:.0%} of the time, loss {losses[-1]:.3f}", flush=True)
    network.eval()
    frames = [dataset.frame(name) for name in split.test]
    found = [detect(network, store, frame) for frame in frames]
    scores = evaluate_instances(frames, found, dataset.categories, masks=model.masks)
    outcome = {
        "steps": len(losses),
        "batch_size": options.batch_size,
        "minutes": options.minutes,
        "last_losses": losses[-10:],
        "scores": json.loads(scores.model_dump_json()),
    }
    options.out.write_text(json.dumps(outcome), encoding="utf-8")


if __name__ == "__main__":
    main()
