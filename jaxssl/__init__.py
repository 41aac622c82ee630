"""Pretraining of image encoders without labels on cardiac MR and ultrasound."""

__version__ = "0.1.0"
