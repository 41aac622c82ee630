"""Weights that come in and go out: safetensors files, and the names that torchvision and timm give to arrays."""
