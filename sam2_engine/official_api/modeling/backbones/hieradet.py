"""Image encoder's trunk, under the official module name: its parts are refused."""

from sam2_engine.official_api.missing import refusal

__getattr__ = refusal(__name__)
