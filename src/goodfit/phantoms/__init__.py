"""Generated CT-like volumes to try goodfit on without data of one's own."""

from goodfit.phantoms.dataset import write_phantoms

__all__ = ["write_phantoms"]
