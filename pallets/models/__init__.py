"""Models: what was registered, and what validators proved of it."""

from pallets.models.pallet import Config, Model, Models, ModelState, Needs

__all__ = ["Config", "Model", "ModelState", "Models", "Needs"]
