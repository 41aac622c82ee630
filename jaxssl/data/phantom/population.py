"""Who is scanned: a person drawn from one of five diagnostic groups, by (seed, index) alone."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import root_scalar
from scipy.spatial.transform import Rotation

from jaxssl.data.phantom.heart import Heart
from jaxssl.data.phantom.scanner import VENDORS, Coils
from jaxssl.data.phantom.tissue import Body, Textures
from jaxssl.data.phantom.ventricles import APICAL_WALL, CUT, Ventricles, volumes


@dataclass(frozen=True)
class Group:
    """Ranges from which a group's hearts are drawn; volumes in ml, fractions ejected, lengths in mm."""

    lv_volume: tuple[float, float]
    lv_ejected: tuple[float, float]
    wall: tuple[float, float]
    rv_volume: tuple[float, float]
    rv_ejected: tuple[float, float]
    septal_bulge: tuple[float, float] = (0.0, 0.08)
    infarct: tuple[float, float] = (0.0, 0.0)
    flattening: tuple[float, float] = (0.0, 0.03)


GROUPS = {
    "NOR": Group((115, 175), (0.57, 0.68), (7.5, 9.5), (125, 185), (0.50, 0.62)),
    "DCM": Group((225, 330), (0.14, 0.32), (6.5, 8.5), (140, 230), (0.25, 0.48)),
    "HCM": Group((95, 150), (0.63, 0.76), (12.0, 16.5), (100, 150), (0.52, 0.66), septal_bulge=(0.1, 0.55)),
    "MINF": Group((150, 235), (0.38, 0.52), (7.5, 9.5), (115, 170), (0.42, 0.58), infarct=(0.85, 1.0)),
    "RV": Group((85, 135), (0.50, 0.64), (7.0, 9.0), (190, 270), (0.20, 0.38), flattening=(0.08, 0.22)),
}
"""ACDC's groups. For MINF the fraction is that of the healthy muscle, so that the whole ejects less."""

TOWARDS_APEX = np.array([0.48, -0.62, -0.62])
TOWARDS_RIGHT_VENTRICLE = np.array([-0.86, -0.39, -0.27])
BASE = np.array([14.0, -19.0, 14.0])
"""Middle of the mitral plane in a typical chest, LPS mm from its middle."""


@dataclass(frozen=True)
class Subject:
    """One person: a heart in its place in a body, under the coils of one vendor's scanner."""

    group: str
    vendor: str
    heart: Heart
    body: Body
    textures: Textures
    coils: Coils
    axes: np.ndarray
    """Rows: the heart frame's x, y, z in the chest."""
    base: np.ndarray
    """Origin of the heart frame in the chest."""
    chest: np.ndarray
    """Middle of the chest in the scanner's LPS coordinates."""

    @property
    def origin(self) -> np.ndarray:
        """Origin of the heart frame in the scanner's coordinates."""
        return self.base + self.chest


def draw_subject(seed: int, index: int) -> Subject:
    """Subject `index` of the population `seed`; groups and vendors take turns, so that every 20 hold each pair once."""
    names, vendors = list(GROUPS), list(VENDORS)
    group = names[index % len(names)]
    anatomy, place, texture, scan = (np.random.default_rng([seed, index, stream]) for stream in range(4))
    ventricles = draw_ventricles(GROUPS[group], anatomy)
    heart = Heart(
        ventricles,
        atria=float(anatomy.uniform(0.92, 1.08) + 0.1 * (group in ("DCM", "HCM"))),
        right_wall=float(anatomy.uniform(2.5, 3.5) + 2.0 * (group == "RV")),
        fat=float(anatomy.uniform(1.5, 6.0)),
        papillary=(float(anatomy.normal(2.1, 0.12)), float(anatomy.normal(4.05, 0.12))),
    )
    axes, base = _place_heart(place, heart)
    return Subject(
        group,
        vendors[index // len(names) % len(vendors)],
        heart,
        _draw_body(place, ventricles),
        Textures.random(texture),
        Coils.random(scan),
        axes,
        base,
        place.normal(0, 12, 3),
    )


def draw_ventricles(group: Group, rng: np.random.Generator) -> Ventricles:
    """Ventricles whose volumes and ejection fractions are those drawn from the group's ranges."""

    def draw(limits: tuple[float, float]) -> float:
        return float(rng.uniform(*limits))

    volume, ejected, wall = draw(group.lv_volume), draw(group.lv_ejected), draw(group.wall)
    length = 84 * (volume / 145) ** 0.27 * float(rng.normal(1, 0.03))
    descent = 0.24 * ejected * length
    radius = _radius(volume, length), _radius(volume * (1 - ejected), length - descent)
    muscle = _shell(radius[0], wall, length)
    thick = root_scalar(lambda w: _shell(radius[1], w, length - descent) - muscle, bracket=(1, 60)).root
    right, right_ejected = draw(group.rv_volume), draw(group.rv_ejected)
    span = (0.95 * (radius[0] + wall) + 11) * (right / 150) ** 0.33
    drawn = Ventricles(
        length,
        radius,
        (wall, thick),
        descent,
        draw(group.septal_bulge),
        draw(group.flattening),
        (draw(group.infarct), float(rng.choice([0.3, 1.4, 3.6, 4.7])) + float(rng.normal(0, 0.2)), draw((0.45, 0.9))),
        (draw((0, 0.03)), draw((0, 6.28)), draw((0, 0.02)), draw((0, 6.28))),
        (60.0, 50.0),
        (span, span * (1 - 0.2 * right_ejected / 0.55)),
        descent + 9 * right_ejected,
        draw((0.84, 0.9)),
    )
    return _fit_right(drawn, right, right * (1 - right_ejected))


def _fit_right(v: Ventricles, diastole: float, systole: float) -> Ventricles:
    """The same ventricles with the reach that gives the right one its volumes."""

    def excess(reach: float, contraction: float, wanted: float) -> float:
        trial = replace(v, rv_reach=(reach, reach))
        return volumes(trial, contraction, angles=72, heights=48)["RV"] - wanted

    first, last = (
        root_scalar(excess, args=case, bracket=(20, 140), xtol=0.01).root for case in ((0.0, diastole), (1.0, systole))
    )
    return replace(v, rv_reach=(first, last))


def _factor(cut: float) -> float:
    """Volume of a cut spheroid over pi r^2 half: 2/3 + cut - cut^3 / 3."""
    return 2 / 3 + cut - cut**3 / 3


def _radius(millilitres: float, length: float) -> float:
    """Radius of the cut spheroid of that volume and length."""
    return float(np.sqrt(1000 * millilitres / (np.pi * length / (1 + CUT) * _factor(CUT))))


def _shell(radius: float, wall: float, length: float) -> float:
    """Volume (ml) of a wall of even thickness round the cut spheroid."""
    half = length / (1 + CUT)
    cap = half + APICAL_WALL * wall
    outer = (radius + wall) ** 2 * cap * _factor(CUT * half / cap)
    return np.pi * (outer - radius**2 * half * _factor(CUT)) / 1000


def _place_heart(rng: np.random.Generator, heart: Heart) -> tuple[np.ndarray, np.ndarray]:
    """Axes and origin of the heart frame in the chest: turned and shifted a little from the typical."""
    turn = Rotation.from_rotvec(rng.normal(0, 0.09, 3))
    z = turn.apply(TOWARDS_APEX / np.linalg.norm(TOWARDS_APEX))
    x = turn.apply(TOWARDS_RIGHT_VENTRICLE)
    x -= (x @ z) * z
    x /= np.linalg.norm(x)
    longer = heart.ventricles.length - 84
    return np.stack([x, np.cross(x, z), z]), BASE + rng.normal(0, 3, 3) - 0.5 * longer * z


def _draw_body(rng: np.random.Generator, v: Ventricles) -> Body:
    """A chest, slim or stout, that has room for the heart."""
    stout = float(rng.uniform(0, 1))
    size = float(rng.normal(1, 0.04)) * (1 + 0.1 * max(v.radius[0] + v.wall[0] - 36, 0) / 36)
    return Body(
        width=132 * size,
        depth=(88 + 6 * stout) * size,
        muscle=float(rng.uniform(13, 18)),
        fat=4 + 20 * stout * float(rng.uniform(0.6, 1)),
        breast=float(rng.choice([0, 1])) * float(rng.uniform(12, 30)) * (0.5 + stout),
        liver=float(rng.normal(-26, 8)),
        heart_floor=float(rng.normal(-44, 4)),
        gas=float(rng.uniform(-0.7, 0.7)),
    )
