"""Prompt encoder and mask decoder, under their official module names: their parts are refused."""
