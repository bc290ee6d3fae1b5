"""What cloudpickle before release 3 took its base from: the standard library's pickle."""

import pickle
from pickle import Pickler

__all__ = ["Pickler", "pickle"]
