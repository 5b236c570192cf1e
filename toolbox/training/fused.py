"""What is faster than Keras's own, imported when first used, since it inherits from Keras."""

from toolbox.late import Late

FusedAdadelta = Late("toolbox.training.adadelta", "FusedAdadelta")
FusedBatchNormalization = Late("toolbox.training.batch_norm", "FusedBatchNormalization")
FusedPReLU = Late("toolbox.training.prelu", "FusedPReLU")
