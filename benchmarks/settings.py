"""The network that benchmarks/own_network.py and benchmarks/onnx_network.py time."""
import network
from dataset import voc
from experiment import train_flags
from resnet.architecture import Convolutions
from runtime import tf


def options_of(setting):
    """Returns `NetworkOptions` of a setting: resnet_model, output_stride, form or None."""
    args = train_flags.parse(['--resnet_model', setting['resnet_model'],
                              '--output_stride', str(setting['output_stride'])])
    args.number_of_classes = len(voc.CLASS_NAMES)
    options = network.options_of(args)
    if setting.get('form'):
        options = options._replace(architecture=options.architecture._replace(
            convolutions=Convolutions(setting['form'])))
    return options


def count_parameters():
    """Returns int, the numbers that the variables of the graph hold that training changes."""
    return sum(variable.shape.num_elements() for variable in tf.trainable_variables())
