"""How good the verdict is: labelled traces of a real kernel, production data without labels, and baselines."""
