"""docs/from-nnunet.md names all of nnU-Net: the lists of 2.8.1, and the installed package where there is one."""

from __future__ import annotations

import importlib.util
import re
from importlib import metadata
from pathlib import Path

import pytest
from pydantic import BaseModel

PAGE = Path(__file__).resolve().parents[1] / "docs" / "from-nnunet.md"
NNUNET = importlib.util.find_spec("nnunetv2")
installed = pytest.mark.skipif(NNUNET is None, reason="nnunetv2, whose names are compared, is not installed")

PLANNING = [
    "-d",
    "-pl",
    "-gpu_memory_target",
    "-preprocessor_name",
    "-overwrite_target_spacing",
    "-overwrite_plans_name",
]
FINGERPRINT = ["-d", "-fpe", "--verify_dataset_integrity", "--clean", "--verbose", "--no_pbar"]
PREDICTION = ["-i", "-o", "-f", "-step_size", "--disable_tta", "--verbose", "--save_probabilities"]
PREDICTION += ["--continue_prediction", "-chk", "-npp", "-nps", "-prev_stage_predictions", "-device"]
PREDICTION += ["--disable_progress_bar", "--not_on_device"]
COMMANDS = {
    "nnUNetv2_accumulate_crossval_results": ["dataset_name_or_id", "-c", "-o", "-f", "-p", "-tr"],
    "nnUNetv2_apply_postprocessing": ["-i", "-o", "-pp_pkl_file", "-np", "-plans_json", "-dataset_json"],
    "nnUNetv2_convert_MSD_dataset": ["-i", "-overwrite_id", "-np"],
    "nnUNetv2_convert_old_nnUNet_dataset": ["input_folder", "output_dataset_name"],
    "nnUNetv2_determine_postprocessing": [
        *("-i", "-ref", "-plans_json", "-dataset_json", "-np", "--remove_postprocessed"),
    ],
    "nnUNetv2_download_pretrained_model_by_url": ["url"],
    "nnUNetv2_ensemble": ["-i", "-o", "-np", "--save_npz"],
    "nnUNetv2_evaluate_folder": ["gt_folder", "pred_folder", "-djfile", "-pfile", "-o", "-np", "--chill"],
    "nnUNetv2_evaluate_simple": ["gt_folder", "pred_folder", "-l", "-il", "-o", "-np", "--chill"],
    "nnUNetv2_export_model_to_zip": ["-d", "-o", "-c", "-tr", "-p", "-f", "-chk", "--not_strict", "--exp_cv_preds"],
    "nnUNetv2_extract_fingerprint": [*FINGERPRINT, "-np"],
    "nnUNetv2_find_best_configuration": [
        *("dataset_name_or_id", "-p", "-c", "-tr", "-np", "-f", "--disable_ensembling", "--no_overwrite"),
    ],
    "nnUNetv2_install_pretrained_model_from_zip": ["zip"],
    "nnUNetv2_move_plans_between_datasets": ["-s", "-t", "-sp", "-tp"],
    "nnUNetv2_plan_and_preprocess": [*PLANNING, *FINGERPRINT, "-npfp", "--no_pp", "-c", "-np"],
    "nnUNetv2_plan_experiment": PLANNING,
    "nnUNetv2_plot_overlay_pngs": ["-d", "-o", "-np", "-channel_idx", "--use_raw", "-p", "-c", "-overlay_intensity"],
    "nnUNetv2_predict": [*PREDICTION, "-d", "-p", "-tr", "-c", "-num_parts", "-part_id"],
    "nnUNetv2_predict_from_modelfolder": [*PREDICTION, "-m", "--c"],
    "nnUNetv2_preprocess": ["-d", "-plans_name", "-c", "-np", "--verbose", "--no_pbar"],
    "nnUNetv2_train": [
        *("dataset_name_or_id", "configuration", "fold", "-tr", "-p", "-pretrained_weights", "-num_gpus", "--npz"),
        *("--c", "--val", "--val_best", "--disable_checkpointing", "-device"),
    ],
}
VARIABLES = {
    *("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "nnUNet_extTrainer", "nnUNet_n_proc_DA"),
    *("nnUNet_def_n_proc", "nnUNet_compile", "nnUNet_wandb_enabled", "nnUNet_wandb_project", "nnUNet_wandb_mode"),
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TORCHINDUCTOR_COMPILE_THREADS"),
    *("MASTER_ADDR", "MASTER_PORT", "SLURM_JOB_ID", "LSB_JOBID"),
}
FOREIGN_CLASSES = {"AbstractPrimus", "_Primus_S_96_BS1", "_Primus_B_96_BS1", "_Primus_M_96_BS1", "_Primus_L_48_BS1"}
"""Classes that nobody trains with: a base, and what nnU-Net measures itself with."""


def sections() -> dict[str, str]:
    """Command -> its part of the page."""
    parts = re.split(r"^### (\w+)$", PAGE.read_text(encoding="utf-8").partition("\n## Environment")[0], flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def named(text: str) -> set[str]:
    """What stands in backticks in the first column of the tables."""
    cells = [line.split("|")[1] for line in text.splitlines() if line.startswith("| ")]
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


def test_every_command_has_a_section_and_no_other() -> None:
    assert sections().keys() == COMMANDS.keys()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_has_a_row(command: str) -> None:
    assert named(sections()[command]) == set(COMMANDS[command])


def test_every_environment_variable_has_a_row() -> None:
    text = PAGE.read_text(encoding="utf-8").partition("\n## Environment variables")[2].partition("\n## ")[0]
    assert named(text) == VARIABLES


def test_nothing_is_called_unsupported() -> None:
    assert "not supported" not in PAGE.read_text(encoding="utf-8").lower()


def test_options_of_ours_that_the_page_names_exist() -> None:
    import typer
    from typer.core import TyperGroup

    from goodfit.cli.app import app

    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    known = {flag for command in group.commands.values() for parameter in command.params for flag in parameter.opts}
    known |= {
        flag for command in group.commands.values() for parameter in command.params for flag in parameter.secondary_opts
    }
    text = PAGE.read_text(encoding="utf-8")
    ours = [line.split("|")[2] for line in text.splitlines() if line.startswith("| ")]
    typed = {flag for cell in ours for flag in re.findall(r"(?<![\w-])--[a-z][a-z-]+", cell)}
    assert typed <= known, typed - known
    commands = {name for cell in re.findall(r"`goodfit ([a-z-]+)", text) for name in [cell]}
    assert commands <= set(group.commands), commands - set(group.commands)


def test_whole_commands_of_ours_take_the_options_that_are_shown() -> None:
    import typer
    from typer.core import TyperGroup

    from goodfit.cli.app import app
    from goodfit.settings import Settings

    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    text = PAGE.read_text(encoding="utf-8")
    shown = re.findall(r"`goodfit ([a-z-]+)([^`\n]*)`", text)
    shown += re.findall(r"^goodfit ([a-z-]+)([^#\n]*)", text, flags=re.M)
    assert len(shown) > 30
    for name, rest in shown:
        command = group.commands[name]
        if isinstance(command, TyperGroup) and rest.strip():
            command = command.commands[rest.split()[0]]
        taken = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
        assert set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", rest)) <= taken, f"goodfit {name}{rest}"
    for section, field in set(re.findall(r"--set ([a-z_]+)\.([a-z_]+)=", text)) - {("section", "field")}:
        kind = Settings.model_fields[section].annotation
        assert isinstance(kind, type)
        assert issubclass(kind, BaseModel)
        assert field in kind.model_fields, f"{section}.{field}"


@installed
def test_the_commands_are_those_of_the_installed_package() -> None:
    points = metadata.distribution("nnunetv2").entry_points
    assert {point.name for point in points if point.group == "console_scripts"} == COMMANDS.keys()


def source(module: str) -> Path:
    """File of a module, without importing it."""
    assert NNUNET is not None
    assert NNUNET.origin is not None
    return Path(NNUNET.origin).parent.joinpath(*module.split(".")[1:]).with_suffix(".py")


@installed
@pytest.mark.parametrize("command", COMMANDS)
def test_the_options_are_those_of_the_installed_package(command: str) -> None:
    (point,) = [one for one in metadata.distribution("nnunetv2").entry_points if one.name == command]
    text = source(point.module).read_text(encoding="utf-8")
    body = re.split(rf"^def {point.attr}\(", text, flags=re.M)[1].split("\ndef ")[0]
    found = set(re.findall(r"add_argument\(\s*['\"]([\w-]+)['\"]", body))
    found |= {"--c"} if "'--continue_prediction', '--c'" in body and command != "nnUNetv2_predict" else set()
    found |= {"--verbose", "--no_pbar"} if "_add_logging_args(" in body else set()
    assert found == set(COMMANDS[command])


@installed
def test_the_variables_are_those_that_the_installed_package_reads() -> None:
    found: set[str] = set()
    for file in source("nnunetv2.paths").parent.rglob("*.py"):
        if "tests" in file.parts or "dataset_conversion" in file.parts:
            continue
        text = file.read_text(encoding="utf-8")
        found |= set(re.findall(r"environ(?:\.get\(|\[)\s*['\"](\w+)['\"]", text))
        found |= set(re.findall(r"['\"](\w+)['\"] (?:not )?in os\.environ", text))
        found |= set(re.findall(r"(?:getenv|_is_logger_enabled|_EnvPath)\(\s*['\"](\w+)['\"]", text))
    assert found == VARIABLES


@installed
def test_trainers_and_planners_are_those_of_the_installed_package() -> None:
    trainers = named(PAGE.read_text(encoding="utf-8").partition("\n## Trainers")[2])
    home = source("nnunetv2.paths").parent
    found: set[str] = set()
    for file in [
        *(home / "training" / "nnUNetTrainer").rglob("*.py"),
        *(home / "experiment_planning").rglob("*planner*.py"),
    ]:
        found |= set(re.findall(r"^class (\w+)", file.read_text(encoding="utf-8"), flags=re.M))
    for file in (home / "experiment_planning" / "experiment_planners").rglob("*.py"):
        found |= set(re.findall(r"^class (\w*Planner\w*)", file.read_text(encoding="utf-8"), flags=re.M))
    assert trainers == found - FOREIGN_CLASSES
