"""Published results, run again on the user's copy of the data, beside the rules that need no training."""
