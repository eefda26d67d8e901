"""What tests/test_parity.py has both runtimes do, each in a process of its own.

    PYTHON tests/helpers/parity_worker.py JOBS.json

The file lists jobs, each a list of a function's name in this module and its arguments.
"""
import importlib
import json
import os
import sys

import numpy as np

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

import network  # noqa: E402
from experiment import loading, train_flags  # noqa: E402
from inference import restored  # noqa: E402
from runtime import tf  # noqa: E402
from serving import verification  # noqa: E402
from tests.helpers import pseudo_random, tiny_runs  # noqa: E402

SIZE = 65


def logits(model, output_stride, prefix, answer_path):
    """Saves the logits of the checkpoint, which is written first if it is not there."""
    random = np.random.RandomState(0)
    images = random.uniform(0, 255, [1, SIZE, SIZE, 3]).astype(np.float32)
    args = train_flags.parse(['--resnet_model', model, '--output_stride', str(output_stride)])
    args.number_of_classes = 21
    with tf.Graph().as_default(), tf.Session() as session:
        answer = network.deeplab_v3(tf.constant(images), network.options_of(args), False, None)
        saver = tf.train.Saver()
        if os.path.exists(prefix + '.index'):
            saver.restore(session, prefix)
        else:
            pseudo_random.assign(session)
            saver.save(session, prefix, write_meta_graph=False)
        np.save(answer_path, session.run(answer))


def script(name, *argv):
    """Runs `main` of a script, whose name is dotted, with the flags."""
    importlib.import_module(name).main(list(argv))


def write_run(folder, dataset_dir):
    """Writes a run of the tiny network."""
    tiny_runs.write_run(folder, dataset_dir)


def export_answers(folder, answer_path):
    """Saves what the exported formats say to the images on which exports are compared."""
    answers = {}
    for name in ('saved_model', 'frozen_graph', 'onnx'):
        for index, answer in enumerate(verification.answers_of(
                name, folder, verification.checked_images())):
            answers['%s/%d' % (name, index)] = answer['probabilities']
    np.savez(answer_path, **answers)


def predictions(run_dir, answer_path):
    """Saves what the checkpoint says to the same images."""
    with restored.Predictor(loading.load_run(run_dir)) as predictor:
        np.savez(answer_path, **{
            str(index): predictor.predict(images, with_probabilities=True).probabilities
            for index, images in enumerate(verification.checked_images())})


def main():
    with open(sys.argv[1]) as jobs_file:
        jobs = json.load(jobs_file)
    with tiny_runs.tiny_network():
        for name, *arguments in jobs:
            globals()[name](*arguments)


if __name__ == '__main__':
    main()
