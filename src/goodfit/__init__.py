"""goodfit trains segmentation and detection models, configures itself and stops when the fit is good.

The functions below are the commands of the same name; they are imported when first used, so that importing the
package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from goodfit.commands.demo import demo
    from goodfit.commands.evaluate import evaluate
    from goodfit.commands.inspect import check
    from goodfit.commands.plan import plan
    from goodfit.commands.predict import predict
    from goodfit.commands.preprocess import preprocess
    from goodfit.commands.report import report
    from goodfit.commands.train import train

__version__ = "0.1.0"

__all__ = ["check", "demo", "evaluate", "plan", "predict", "preprocess", "report", "train"]

_HOMES = {name: f"goodfit.commands.{name}" for name in __all__} | {"check": "goodfit.commands.inspect"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'goodfit' has no attribute {name!r}")
