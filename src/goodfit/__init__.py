"""goodfit trains segmentation and detection models, configures itself and stops when the fit is good.

The functions below are the commands of the same name; they are imported when first used, so that importing the
package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goodfit.commands.control import resume, stop
    from goodfit.commands.cross_validate import cross_validate
    from goodfit.commands.demo import demo
    from goodfit.commands.ensemble import ensemble
    from goodfit.commands.evaluate import evaluate
    from goodfit.commands.export_model import export_model
    from goodfit.commands.extend import extend
    from goodfit.commands.import_model import import_model
    from goodfit.commands.inspect import check
    from goodfit.commands.plan import plan
    from goodfit.commands.postprocess import postprocess
    from goodfit.commands.predict import predict
    from goodfit.commands.preprocess import preprocess
    from goodfit.commands.report import report
    from goodfit.commands.select import select
    from goodfit.commands.train import train
    from goodfit.predictor import Predictor, load_model
    from goodfit.training.hooks import Context, Hook
    from goodfit.training.recipe import Recipe

__version__ = "0.1.0"

__all__ = [
    "Context",
    "Hook",
    "Predictor",
    "Recipe",
    "check",
    "cross_validate",
    "demo",
    "ensemble",
    "evaluate",
    "export_model",
    "extend",
    "import_model",
    "load_model",
    "plan",
    "postprocess",
    "predict",
    "preprocess",
    "report",
    "resume",
    "select",
    "stop",
    "train",
]

_HOMES = {name: f"goodfit.commands.{name}" for name in __all__} | {
    "Context": "goodfit.training.hooks",
    "Hook": "goodfit.training.hooks",
    "Predictor": "goodfit.predictor",
    "Recipe": "goodfit.training.recipe",
    "check": "goodfit.commands.inspect",
    "load_model": "goodfit.predictor",
    "resume": "goodfit.commands.control",
    "stop": "goodfit.commands.control",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'goodfit' has no attribute {name!r}")
