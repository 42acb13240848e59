"""What a node is made of: the recipe that both backends share."""

from pathlib import Path

RECIPE = Path(__file__).parent
