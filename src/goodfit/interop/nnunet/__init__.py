"""nnU-Net: its plans, datasets, trained models and checkpoints."""
