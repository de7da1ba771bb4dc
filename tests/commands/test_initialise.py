"""Trainings that begin with weights of others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import torch

from goodfit.commands.initialise import initialise, open_source, require_source
from goodfit.commands.train import train
from goodfit.commands.trained import identity_of
from goodfit.errors import RunError
from goodfit.observer import Observer
from goodfit.planning.plan import save_plan
from goodfit.tasks.segmentation.network import build_network
from goodfit.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from goodfit.training.run_folder import RunFolder
from goodfit.training.weights import weights_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from torch import nn

    from goodfit.planning.plan import Plan


class Reader(Observer):
    """Keeps tables and notes."""

    def __init__(self) -> None:
        self.tables: list[list[Sequence[str]]] = []
        self.notes: list[str] = []

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        self.tables.append(list(rows))

    def note(self, text: str) -> None:
        self.notes.append(text)


def network_of(plan: Plan, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return build_network(plan.chosen.network, len(plan.data.channels), plan.data.labels.outputs, plan.chosen.dims)


def new_run(folder: Path, plan: Plan) -> RunFolder:
    """A run that is about to begin."""
    run = RunFolder(folder)
    run.update_record(settings={})
    run.trained.parent.mkdir(parents=True)
    run.trained.write_text(json.dumps({"plan": plan.model_dump(mode="json"), "split": {}}))
    return run


def trained_run(folder: Path, plan: Plan, seed: int = 1) -> RunFolder:
    run = new_run(folder, plan)
    save_plan(plan, run.plan)
    run.update_record(status="finished")
    weights = {name: tensor.clone() for name, tensor in weights_of(network_of(plan, seed)).items()}
    save_checkpoint(run.best, Checkpoint({"average": weights}, {}))
    return run


def values(run: RunFolder) -> dict[str, torch.Tensor]:
    groups = load_checkpoint(run.best).groups
    return dict(groups.get("average") or groups["network"])


def test_everything_is_taken_where_classes_and_channels_agree(tiny_plan: Callable[..., Plan], tmp_path: Path) -> None:
    source = trained_run(tmp_path / "source", tiny_plan())
    run, reader, network = new_run(tmp_path / "run", tiny_plan()), Reader(), network_of(tiny_plan(), 9)
    before = identity_of(run)
    done = initialise(network, tiny_plan(), str(source.path), run, reader)
    assert not done.left
    expected = values(source)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights_of(network).items())
    noted = run.read_record()["initialised_from"]
    assert noted["file"] == str(source.best)
    assert {row["fate"] for row in noted["table"]} == {"taken"}
    assert identity_of(run) != before
    assert "100% of the network's" in reader.notes[0]


def test_other_weights_make_another_run(tiny_plan: Callable[..., Plan], tmp_path: Path) -> None:
    identities = []
    for seed in (1, 2):
        source = trained_run(tmp_path / f"source{seed}", tiny_plan(), seed)
        run = new_run(tmp_path / f"run{seed}", tiny_plan())
        initialise(network_of(tiny_plan(), 9), tiny_plan(), str(source.path), run, Reader())
        identities.append(identity_of(run))
    assert identities[0] != identities[1]


@pytest.mark.parametrize("classes", [{"left": [1], "right": [2], "both": [3]}, {"heart": [1], "lung": [2]}])
def test_output_layers_stay_where_the_classes_differ(
    tiny_plan: Callable[..., Plan], tmp_path: Path, classes: dict[str, list[int]]
) -> None:
    source = trained_run(tmp_path / "source", tiny_plan())
    plan = tiny_plan(data={"classes": classes})
    network = network_of(plan, 9)
    drawn = {name: tensor.clone() for name, tensor in weights_of(network).items()}
    reader = Reader()
    done = initialise(network, plan, str(source.path), new_run(tmp_path / "run", plan), reader)
    assert set(done.left.values()) == {"output layer of other classes"}
    assert all(".seg_layers." in name for name in done.left)
    after, expected = weights_of(network), values(source)
    assert all(torch.equal(after[name], drawn[name]) for name in done.left)
    assert all(torch.equal(after[name], expected[name]) for name in done.taken)
    assert ["newly drawn", "output layer of other classes"] in [list(row[3:]) for row in reader.tables[0]]


def test_the_first_layer_stays_where_the_channels_differ(tiny_plan: Callable[..., Plan], tmp_path: Path) -> None:
    source = trained_run(tmp_path / "source", tiny_plan())
    two: dict[str, Any] = {"channels": ["T1", "T2"], "normalisation": ["zscore"] * 2, "use_mask": [False] * 2}
    plan = tiny_plan(data={**two, "intensities": tiny_plan().data.intensities * 2})
    reader = Reader()
    done = initialise(network_of(plan, 9), plan, str(source.path), new_run(tmp_path / "run", plan), reader)
    reason = "of another shape: 4x1x3x3x3 there, 4x2x3x3x3 here"
    names = ("encoder.stages.0.0.convs.0.conv.weight", "encoder.stages.0.0.convs.0.conv.bias")
    assert done.left == dict.fromkeys(names, reason)
    assert not any("warning" in note for note in reader.notes)


def test_a_network_of_other_widths_is_warned_of(tiny_plan: Callable[..., Plan], tmp_path: Path) -> None:
    wide = tiny_plan()
    wide.chosen.network.features = [4, 16]
    source, reader = trained_run(tmp_path / "source", wide), Reader()
    done = initialise(
        network_of(tiny_plan(), 9), tiny_plan(), str(source.path), new_run(tmp_path / "run", wide), reader
    )
    assert done.taken
    assert any(note.startswith("warning:") and "layers beside the first and the last" in note for note in reader.notes)


def test_nnunets_models_and_checkpoints_are_sources(
    nnunet_model: Callable[..., Path], tiny_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    folder = nnunet_model()
    file = folder / "fold_0" / "checkpoint_final.pth"
    expected = torch.load(file, weights_only=True)["network_weights"]
    for number, place in enumerate((folder, file)):
        network = network_of(tiny_plan(), 9)
        done = initialise(network, tiny_plan(), str(place), new_run(tmp_path / f"run{number}", tiny_plan()), Reader())
        assert not done.left
        assert not done.unused
        assert all(torch.equal(tensor, expected[name]) for name, tensor in network.state_dict().items())


def test_a_checkpoint_by_itself_does_not_say_its_classes(tiny_plan: Callable[..., Plan], tmp_path: Path) -> None:
    source = trained_run(tmp_path / "source", tiny_plan())
    assert open_source(source.best).classes is not None
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes(source.best.read_bytes())
    done = initialise(
        network_of(tiny_plan(), 9), tiny_plan(), str(alone), new_run(tmp_path / "run", tiny_plan()), Reader()
    )
    assert set(done.left.values()) == {"output layer, and the file does not say of which classes"}


def test_weights_of_another_network_are_an_error(tiny_plan: Callable[..., Plan], tmp_path: Path) -> None:
    file = tmp_path / "other.safetensors"
    save_checkpoint(file, Checkpoint({"network": {"layer.weight": torch.ones(3)}}, {}))
    run = new_run(tmp_path / "run", tiny_plan())
    with pytest.raises(RunError, match=r"--initialise-from .*none of the network's \d+ weights fits"):
        initialise(network_of(tiny_plan(), 9), tiny_plan(), str(file), run, Reader())
    assert "initialised_from" not in run.read_record()


def test_what_is_no_source_is_refused_before_the_long_work(root: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="there is no such run, model folder or checkpoint"):
        require_source(str(tmp_path / "nowhere"))
    (tmp_path / "text.txt").write_text("x")
    with pytest.raises(RunError, match=r"give a run, a checkpoint"):
        require_source(str(tmp_path / "text.txt"))
    with pytest.raises(RunError, match="there is no such run"):
        train(root, run=tmp_path / "run", initialise_from=str(tmp_path / "nowhere"))
    assert not (tmp_path / "run").exists()
    require_source(None)


@pytest.mark.slow
def test_a_training_begins_with_the_weights_once(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small = {"epochs": 1, "steps_per_epoch": 2, "patch_size": "8x16x16", "batch_size": 2, "precision": "float32"}
    first = train(root, run=tmp_path / "first", **small)
    second = train(
        root, run=tmp_path / "second", initialise_from=str(first.run.path), **{**small, "learning_rate": 1e-12}
    )
    record = second.run.read_record()
    assert record["initialised_from"]["file"] == str(first.run.best)
    assert record["settings"]["training.initialise_from"] == str(first.run.path)
    began, ended = values(first.run), values(second.run)
    assert all(torch.allclose(ended[name], began[name], atol=1e-6) for name in began)
    again = train(
        root, run=tmp_path / "second", initialise_from=str(first.run.path), **{**small, "learning_rate": 1e-12}
    )
    assert again.finished
    with pytest.raises(RunError, match=r"begun with other settings: .*initialise_from"):
        train(root, run=tmp_path / "first", initialise_from=str(second.run.path), **small)
