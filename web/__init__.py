"""The call page and the operators' page: plain ES modules, served as they are."""

from importlib.resources import files
from importlib.resources.abc import Traversable

STATIC: Traversable = files(__name__)
"""The folder of HTML, CSS, JavaScript and language files that the service serves."""
