"""The backends that can run on this machine: a checkout has no compiled libraries by itself."""

from tinycnn.engine.session import available_backends

WORKING = [name for name, reason in available_backends().items() if not reason]
