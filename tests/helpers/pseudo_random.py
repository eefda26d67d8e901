"""Weights for tests: values that depend on the variables' names alone."""
import numpy as np

from runtime import tf


def value(name, shape, seed=0):
    """Keeps features of ordinary size; no beta is 0, so that every variable matters."""
    random = np.random.RandomState(sum(map(ord, name)) + seed)
    if len(shape) == 4:
        return random.standard_normal(shape) * np.sqrt(1.0 / np.prod(shape[:3]))
    if name.endswith(('gamma', 'moving_variance')):
        return random.uniform(0.5, 1.5, shape)
    return random.uniform(-0.5, 0.5, shape)


def assign(session, seed=0):
    """Gives every variable of the graph its value, in one run: runs of their own are slow."""
    variables = tf.global_variables()
    session.run([variable.initializer for variable in variables], {
        variable.initializer.inputs[1]: value(variable.op.name, variable.shape.as_list(), seed)
        for variable in variables})
