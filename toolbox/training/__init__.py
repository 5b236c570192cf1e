"""How the scripts train: batches, augmentation, `fit` with exact resume, run records, devices."""
