"""The real-time gateway of Cidadão.AI."""

__version__ = "0.1.0"
