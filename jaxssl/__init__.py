"""Pretraining of image encoders without labels on cardiac MR and ultrasound."""
