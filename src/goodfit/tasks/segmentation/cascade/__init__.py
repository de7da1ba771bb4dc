"""The cascade: a network that sees, beside the image, what the low-resolution stage has predicted.

``inputs`` keeps those predictions, one label map per case on the grid of the stored image; ``one_hot`` turns a label
map into input channels; ``stage`` brings a prediction onto that grid. Which network of the first stage predicts which
case is decided in ``goodfit.commands.cascade``.
"""
