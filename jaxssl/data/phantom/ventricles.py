"""The two ventricles over the beat, in closed form: surfaces, labels and volumes.

Heart frame, in mm: z runs from the mitral plane (0 at end-diastole) to the apex, x from the left ventricle to the
right, y towards the anterior wall. An angle round the left ventricle is 0 at the septum, pi/2 at the anterior wall.

The left ventricle is a spheroid cut off by the mitral plane, its radius and wall varying with angle and height. The
right ventricle is a sheared spheroid minus the left one. `contraction` is 0 at end-diastole and 1 at end-systole.
"""

import functools
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jaxssl.data.phantom.shapes import Numbers, Points, spheroid_distance

CUT = 0.5
"""Half-axes between the equator of the left ventricle and its mitral plane."""

RV_CUT = 0.35
APICAL_WALL = 0.6
"""Thickness of the wall at the apex, as a part of that at the equator."""

RIGHT_VENTRICLE, MYOCARDIUM, LEFT_VENTRICLE = 1, 2, 3


@dataclass(frozen=True)
class Ventricles:
    """Size, shape and motion. Pairs are (end-diastole, end-systole); lengths in mm, angles in radians."""

    length: float
    """Mitral plane to the endocardial apex at end-diastole."""
    radius: tuple[float, float]
    """Endocardial radius at the equator."""
    wall: tuple[float, float]
    """Thickness at the equator."""
    descent: float
    """Way of the mitral plane towards the apex."""
    septal_bulge: float
    """Extra thickness of the septum, as a part of the wall."""
    flattening: float
    """How much the septum is pushed in, as a part of the radius."""
    infarct: tuple[float, float, float]
    """Severity 0..1, angle, height as a part of the length."""
    ripple: tuple[float, float, float, float]
    """Size and angle of the second and third harmonic of the radius."""
    rv_reach: tuple[float, float]
    """Axis of the left ventricle to the free wall of the right."""
    rv_span: tuple[float, float]
    """Half the width of the right ventricle across the septum."""
    rv_descent: float
    """Way of the tricuspid plane towards the apex."""
    rv_length: float
    """Height of the right ventricle's apex, as a part of the left one's length."""


class Distances(NamedTuple):
    """Distances in mm from the surfaces of the ventricles, negative inside."""

    endocardium: Numbers
    epicardium: Numbers
    right: Numbers


class _Left(NamedTuple):
    base: float
    equator: float
    half: float


class _Right(NamedTuple):
    base: float
    equator: float
    half: float
    reach: float
    span: float


def left_frame(v: Ventricles, contraction: float) -> _Left:
    """Heights of the mitral plane and the equator, and half the long axis of the endocardium."""
    base = v.descent * contraction
    half = (v.length - base) / (1 + CUT)
    return _Left(base, v.length - half, half)


def right_frame(v: Ventricles, contraction: float) -> _Right:
    """The same for the right ventricle, with its reach and span."""
    base = 4 + v.rv_descent * contraction
    apex = v.rv_length * v.length
    half = (apex - base) / (1 + RV_CUT)
    return _Right(base, apex - half, half, _between(v.rv_reach, contraction), _between(v.rv_span, contraction))


def radius_and_wall(
    v: Ventricles, contraction: float, cos: Numbers, sin: Numbers, z: Numbers
) -> tuple[Numbers, Numbers]:
    """Equatorial radius of the endocardium and wall thickness for an angle (cos, sin) and height z.

    Within the infarct the muscle contracts less and is thinner.
    """
    severity, angle, height = v.infarct
    dead = severity * _bump(cos, sin, angle, 1.6) * np.exp(-(((z / v.length - height) / 0.45) ** 2))
    local = contraction * (1 - dead)
    two, two_angle, three, three_angle = v.ripple
    cos2, sin2 = cos * cos - sin * sin, 2 * sin * cos
    cos3, sin3 = cos2 * cos - sin2 * sin, sin2 * cos + cos2 * sin
    shape = 1 + two * (cos2 * math.cos(two_angle) + sin2 * math.sin(two_angle))
    shape = shape + three * (cos3 * math.cos(three_angle) + sin3 * math.sin(three_angle))
    shape = shape - v.flattening * _bump(cos, sin, 0.0, 2.5)
    wall = _between(v.wall, local) * (1 + v.septal_bulge * _bump(cos, sin, 0.5, 1.2)) * (1 - 0.55 * dead)
    return _between(v.radius, local) * shape, wall


def distances(v: Ventricles, contraction: float, p: Points) -> Distances:
    """Distances of heart-frame points from the three surfaces, right to first order near them."""
    left = left_frame(v, contraction)
    rho = np.sqrt(p.x * p.x + p.y * p.y)
    cos, sin = p.x / np.maximum(rho, 1e-6), p.y / np.maximum(rho, 1e-6)
    radius, wall = radius_and_wall(v, contraction, cos, sin, p.z)
    axial = p.z - left.equator
    cap = left.half + APICAL_WALL * wall
    zero = np.zeros_like(rho)
    endocardium = spheroid_distance(rho / radius, zero, axial / left.half, radius, radius, left.half)
    epicardium = spheroid_distance(rho / (radius + wall), zero, axial / cap, radius + wall, radius, cap)
    above = left.base - p.z
    right = right_frame(v, contraction)
    u, w, height = _right_coordinates(right, p.x, p.y, p.z)
    free = spheroid_distance(u, w, height, 0.46 * right.reach, right.span, right.half)
    return Distances(np.maximum(endocardium, above), np.maximum(epicardium, above), np.maximum(free, right.base - p.z))


def labels(d: Distances) -> np.ndarray:
    """ACDC's codes: 0 background, 1 right cavity, 2 left myocardium, 3 left cavity (papillary muscles included)."""
    code = np.where(d.right < 0, RIGHT_VENTRICLE, 0)
    code = np.where(d.epicardium < 0, MYOCARDIUM, code)
    return np.where(d.endocardium < 0, LEFT_VENTRICLE, code).astype(np.uint8)


def volumes(v: Ventricles, contraction: float, angles: int = 180, heights: int = 160) -> dict[str, float]:
    """Volumes in ml of "RV", "MYO" and "LV": the areas r^2/2 dtheta of the surfaces, integrated along the axis."""
    theta = np.arange(angles) * (2 * np.pi / angles)
    cos, sin = np.cos(theta)[:, None], np.sin(theta)[:, None]
    left, right = left_frame(v, contraction), right_frame(v, contraction)
    nodes, weights = _quadrature(heights)

    def integral(low: float, high: float, squared_radius) -> float:
        z = low + (nodes[None, :] + 1) * (high - low) / 2
        return float((squared_radius(z) * weights).sum() * (high - low) / 2 * np.pi / angles / 1000)

    def endocardium(z):
        radius, _ = radius_and_wall(v, contraction, cos, sin, z)
        return radius**2 * np.clip(1 - ((z - left.equator) / left.half) ** 2, 0, None)

    def epicardium(z):
        radius, wall = radius_and_wall(v, contraction, cos, sin, z)
        cap = left.half + APICAL_WALL * wall
        return (radius + wall) ** 2 * np.clip(1 - ((z - left.equator) / cap) ** 2, 0, None)

    def crescent(z):
        near, far = _right_along_ray(right, cos, sin, z)
        outer = epicardium(z)
        return np.maximum(far**2, outer) - np.maximum(near**2, outer)

    apex = v.length + APICAL_WALL * max(v.wall) * (1 + v.septal_bulge)
    cavity = integral(left.base, v.length, endocardium)
    return {
        "RV": integral(right.base, v.rv_length * v.length, crescent),
        "MYO": integral(left.base, apex, epicardium) - cavity,
        "LV": cavity,
    }


@functools.cache
def _quadrature(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights of Gauss and Legendre."""
    return np.polynomial.legendre.leggauss(points)


def _right_coordinates(right: _Right, x, y, z):
    """Coordinates in which the right free wall is the unit sphere; towards the apex it leans to the left ventricle."""
    height = (z - right.equator) / right.half
    lean = 1 - 0.25 * (height + RV_CUT) / (1 + RV_CUT)
    return (x - 0.54 * right.reach * lean) / (0.46 * right.reach), (y - 4 * lean) / right.span, height


def _right_along_ray(right: _Right, cos, sin, z):
    """Where a ray from the axis of the left ventricle enters and leaves the right one (0, 0 if it misses)."""
    u0, w0, height = _right_coordinates(right, 0.0, 0.0, z)
    u, w = cos / (0.46 * right.reach), sin / right.span
    square, mixed = u * u + w * w, u * u0 + w * w0
    root = mixed**2 - square * (u0**2 + w0**2 + height**2 - 1)
    reach = np.sqrt(np.clip(root, 0, None))
    hit = root > 0
    near, far = (-mixed - reach) / square, (-mixed + reach) / square
    return np.where(hit, np.clip(near, 0, None), 0), np.where(hit, np.clip(far, 0, None), 0)


def _between(pair: tuple[float, float], contraction):
    return pair[0] + (pair[1] - pair[0]) * contraction


def _bump(cos, sin, angle: float, sharpness: float):
    """1 at the angle, falling smoothly round the circle."""
    return np.exp(sharpness * (cos * math.cos(angle) + sin * math.sin(angle) - 1))
