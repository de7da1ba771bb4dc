"""Fixtures of the tests of segmentation."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

JUDGE = Path(__file__).with_name("answer_as_nnunet.py")


@pytest.fixture(scope="session")
def ask_nnunet() -> Callable[[Path, Mapping[Any, tuple[str, dict[str, Any]]]], dict[Any, Any]]:
    """Give a function that puts questions, key -> (kind, arguments), to nnU-Net in one process of its own."""
    pytest.importorskip("nnunetv2", reason="nnunetv2, the judge, is not installed")

    def ask(folder: Path, questions: Mapping[Any, tuple[str, dict[str, Any]]]) -> dict[Any, Any]:
        torch.save(list(questions.values()), folder / "questions.pt")
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        environment |= {f"nnUNet_{name}": str(folder / name) for name in ("raw", "preprocessed", "results")}
        done = subprocess.run(
            [sys.executable, str(JUDGE), str(folder)],
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
            env=environment,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        answers = torch.load(folder / "answers.pt", weights_only=False)
        return dict(zip(questions, answers, strict=True))

    return ask
