"""The Python client. See `Driver`."""

import importlib.util
EXISTS = importlib.util.find_spec("cidadao_rt.client") is not None
