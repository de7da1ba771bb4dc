"""What the folds of a cross-validation share: their folder, their kind of task, their predictions together."""
