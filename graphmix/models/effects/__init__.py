"""Networks that imitate effects: the TCN proxy of a channel strip and its pretraining."""
