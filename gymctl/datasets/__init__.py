"""Data before and after a run: prepare and check rows, split and mix them, export rollouts for trainers."""
