from __future__ import annotations

import hashlib
import pickle
import urllib.error
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import mobilenet_v2, mobilenet_v3_large
from torchvision.models.detection import maskrcnn_resnet50_fpn, maskrcnn_resnet50_fpn_v2

from goodfit.errors import PlanError
from goodfit.tasks.instances import weights as module
from goodfit.tasks.instances.network import build_detector
from goodfit.tasks.instances.weights import find_weights, load_weights, read_state
from goodfit.training.weights import weights_of

if TYPE_CHECKING:
    from pathlib import Path

FROZEN = {"normalisation": "frozen_batch"}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch) -> None:
    """torch's cache in an empty folder, and no network."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))

    def refuse(url, timeout):
        raise urllib.error.URLError("no network in the tests")

    monkeypatch.setattr(module.urllib.request, "urlopen", refuse)


@pytest.fixture
def imagenet(tmp_path) -> Path:
    torch.manual_seed(5)
    file = tmp_path / "mobilenet_v2.pth"
    torch.save(mobilenet_v2().state_dict(), file)
    return file


@pytest.mark.parametrize("normalisation", ["frozen_batch", "batch"])
def test_a_classifiers_weights_fill_the_backbone(make_plan, imagenet, normalisation) -> None:
    plan = make_plan(model={"weights": str(imagenet), "normalisation": normalisation})
    network = build_detector(plan)
    loaded = load_weights(network, plan)
    state = torch.load(imagenet, weights_only=True)
    own = weights_of(network)
    assert torch.equal(own["backbone.body.0.0.weight"], state["features.0.0.weight"])
    assert torch.equal(own["backbone.body.18.1.running_var"], state["features.18.1.running_var"])
    assert loaded.loaded == sum(name.startswith("backbone.body.") for name in own if "num_batches" not in name) + sum(
        name.endswith("num_batches_tracked") for name in own
    )
    assert all(name.startswith(("backbone.fpn", "rpn", "roi_heads")) for name in loaded.left)


def test_the_backbone_then_gives_what_the_classifier_gives(make_plan, imagenet) -> None:
    plan = make_plan(model={"weights": str(imagenet), **FROZEN})
    network = build_detector(plan)
    load_weights(network, plan)
    classifier = mobilenet_v2()
    classifier.load_state_dict(torch.load(imagenet, weights_only=True))
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        maps = network.get_submodule("backbone.body").eval()(x)
        torch.testing.assert_close(maps["3"], classifier.eval().features(x), rtol=1e-4, atol=1e-4)


def test_group_norm_takes_convolutions_alone(make_plan, imagenet) -> None:
    plan = make_plan(model={"weights": str(imagenet)})
    network = build_detector(plan)
    loaded = load_weights(network, plan)
    own = weights_of(network)
    assert "backbone.body.0.1.weight" in loaded.left
    assert float(own["backbone.body.0.1.weight"].std()) == 0
    assert torch.equal(own["backbone.body.0.0.weight"], torch.load(imagenet, weights_only=True)["features.0.0.weight"])


@pytest.mark.parametrize(
    ("backbone", "make"), [("resnet50", maskrcnn_resnet50_fpn), ("resnet50_v2", maskrcnn_resnet50_fpn_v2)]
)
def test_torchvisions_detectors_fit_and_compute_the_same(make_plan, tmp_path, backbone, make) -> None:
    torch.manual_seed(3)
    theirs = make(
        weights=None, weights_backbone=None, num_classes=3, rpn_post_nms_top_n_test=20, box_detections_per_img=5
    )
    theirs.transform._skip_resize = True
    with torch.no_grad():
        for name, tensor in theirs.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif name.endswith("running_mean"):
                tensor.normal_(0, 0.1)
    state = dict(theirs.state_dict())
    file = tmp_path / "detector.pth"
    torch.save(_old_names(state) if backbone == "resnet50" else state, file)
    plan = make_plan(
        model={
            "backbone": backbone,
            "weights": str(file),
            "normalisation": "frozen_batch",
            "anchor_sizes": [[32], [64], [128], [256], [512]],
            "detections_per_image": 5,
            "rpn_candidates_test": 1000,
            "rpn_proposals_test": 20,
        }
    )
    network = build_detector(plan)
    loaded = load_weights(network, plan)
    assert loaded.left == ()
    theirs.eval()
    network.eval()
    # torchvision rounds its anchors, which of our kinds of weights only "coco" does.
    network.get_submodule("rpn.anchor_generator").cells = [
        cell.round() for cell in network.get_submodule("rpn.anchor_generator").cells
    ]
    image = torch.rand(3, 128, 128)
    with torch.no_grad():
        x, _ = network.get_submodule("transform")([image])
        expected = theirs.backbone(x.tensors)
        maps = network.get_submodule("backbone")(x.tensors)
        for name, level in expected.items():
            torch.testing.assert_close(maps[name], level, rtol=1e-3, atol=1e-4)
        proposals, _ = theirs.rpn(x, expected)
        own, _ = network.get_submodule("rpn")(x, maps)
        torch.testing.assert_close(own[0], proposals[0], rtol=1e-3, atol=0.05)
        theirs_found, _ = theirs.roi_heads(expected, proposals, x.image_sizes)
        found, _ = network.get_submodule("roi_heads")(maps, proposals, x.image_sizes)
        for name in ("boxes", "scores", "masks"):
            torch.testing.assert_close(found[0][name], theirs_found[0][name], rtol=1e-3, atol=0.05)


def _old_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Names as in the file that torchvision serves, which is older than its code."""
    renamed = {}
    for name, tensor in state.items():
        new = name.replace("blocks.0.0.", "blocks.0.").replace("blocks.1.0.", "blocks.1.")
        new = new.replace("blocks.2.0.", "blocks.2.").replace("blocks.3.0.", "blocks.3.").replace("conv.0.0.", "conv.")
        for number in range(4):
            new = new.replace(f"mask_head.{number}.0.", f"mask_head.mask_fcn{number + 1}.")
        renamed[new] = tensor
    return renamed


def test_heads_of_other_categories_stay_random(make_plan, tmp_path) -> None:
    source = build_detector(make_plan(data={"categories": ["a", "b", "c"]}))
    file = tmp_path / "other.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in weights_of(source).items()}, file)
    plan = make_plan(model={"weights": str(file)})
    loaded = load_weights(build_detector(plan), plan)
    assert {name.rsplit(".", 1)[0] for name in loaded.left} == {
        "roi_heads.box_predictor.cls_score",
        "roi_heads.box_predictor.bbox_pred",
        "roi_heads.mask_predictor.mask_fcn_logits",
    }


def test_another_backbone_is_refused(make_plan, tmp_path) -> None:
    file = tmp_path / "v3.pth"
    torch.save(mobilenet_v3_large().state_dict(), file)
    plan = make_plan(model={"weights": str(file), **FROZEN})
    with pytest.raises(PlanError, match=r"v3\.pth: belongs to another backbone"):
        load_weights(build_detector(plan), plan)


def test_none_is_random(make_plan) -> None:
    plan = make_plan()
    network = build_detector(plan)
    before = {name: tensor.clone() for name, tensor in weights_of(network).items()}
    assert load_weights(network, plan).source == "random"
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights_of(network).items())


def test_without_network_and_file_the_two_ways_out_are_named(make_plan) -> None:
    with pytest.raises(PlanError) as caught:
        find_weights(make_plan(model={"weights": "imagenet"}).model)
    message = str(caught.value)
    assert "mobilenet_v2-b0353104.pth" in message
    assert "download.pytorch.org" in message
    assert "--weights FILE" in message
    assert "--weights none" in message


def test_the_cache_is_looked_at_first(make_plan, imagenet, tmp_path) -> None:
    cached = tmp_path / "hub" / "checkpoints" / "mobilenet_v2-b0353104.pth"
    cached.parent.mkdir(parents=True)
    imagenet.rename(cached)
    plan = make_plan(model={"weights": "imagenet", **FROZEN})
    assert find_weights(plan.model) == cached
    assert load_weights(build_detector(plan), plan).source == str(cached)


class _Answer:
    def __init__(self, content: bytes) -> None:
        self._content = [content, b""]

    def read(self, size: int) -> bytes:
        return self._content.pop(0)

    def __enter__(self):
        return self

    def __exit__(self, *args) -> None:
        pass


def test_what_is_fetched_must_have_the_right_content(make_plan, monkeypatch, tmp_path) -> None:
    model = make_plan(model={"weights": "imagenet"}).model
    monkeypatch.setattr(module.urllib.request, "urlopen", lambda url, timeout: _Answer(b"a login page"))
    with pytest.raises(PlanError, match="not what was asked for"):
        find_weights(model)
    assert not list((tmp_path / "hub").rglob("*.pth"))
    # The name in the table tells the beginning of the digest.
    content = b"weights"
    url = f"https://x.org/mobilenet-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    monkeypatch.setitem(module._IMAGENET, "mobilenet_v2", type("Weights", (), {"url": url}))
    monkeypatch.setattr(module.urllib.request, "urlopen", lambda url, timeout: _Answer(content))
    assert find_weights(model).read_bytes() == content


def test_coco_weights_that_do_not_exist(make_plan) -> None:
    with pytest.raises(PlanError, match="no COCO weights of mobilenet_v2"):
        find_weights(make_plan(model={"weights": "coco"}).model)


def test_a_file_that_is_not_there(make_plan) -> None:
    with pytest.raises(PlanError, match="neither imagenet, coco or none"):
        find_weights(make_plan(model={"weights": "nowhere.pth"}).model)


class _Evil:
    def __reduce__(self):
        return (print, ("executed",))


@pytest.mark.parametrize("content", ["evil", "text", "empty", "number", "numbers"])
def test_files_that_are_no_weights(tmp_path, content, capsys) -> None:
    file = tmp_path / "weights.pth"
    if content == "evil":
        torch.save({"model": _Evil()}, file)
    elif content == "text":
        file.write_text("hello")
    elif content == "empty":
        file.touch()
    elif content == "number":
        torch.save(3, file)
    else:
        torch.save({"a": 1}, file)
    with pytest.raises(PlanError, match=r"weights\.pth"):
        read_state(file)
    assert "executed" not in capsys.readouterr().out


def test_a_damaged_safetensors_file(tmp_path) -> None:
    file = tmp_path / "weights.safetensors"
    file.write_bytes(b"1234567890" * 10)
    with pytest.raises(PlanError, match="cannot be read"):
        read_state(file)


def test_a_plain_old_pickle_is_not_run(tmp_path, capsys) -> None:
    file = tmp_path / "weights.pt"
    file.write_bytes(pickle.dumps(_Evil(), protocol=2))
    with pytest.raises(PlanError, match=r"weights\.pt"):
        read_state(file)
    assert "executed" not in capsys.readouterr().out
