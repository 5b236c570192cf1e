"""What the scripts are made of, by subject. Nothing in here imports a script, or `utils`."""
