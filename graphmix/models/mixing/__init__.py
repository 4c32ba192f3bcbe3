"""Estimators: models that propose a mixing graph (or a mix) from dry tracks."""
