"""minizf: train a convolutional network from hand-written layers, then look at what every feature in it sees."""

__version__ = "0.1.0"
