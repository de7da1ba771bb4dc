"""Whether the fit is good, in words, from the curves of a run."""
