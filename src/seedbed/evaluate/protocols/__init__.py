"""The papers' measurements of explanations, each in one pass: no maps of fifty thousand images need to be stored."""
