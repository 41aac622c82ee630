"""A study as a sweep: named points, and the stages that lead to them, which several points may share.

A study is one file: a docstring, and `sweep(scale, ...)` that yields points. It is Python and is run as such; further
keywords of its `sweep` are flags of `jaxssl ablate`. What of it has been done is known from the disk alone.

>>> hearts = Stage("phantom", "cine", {"subjects": 40})
>>> mim = Stage("pretrain", "mim:small", {"data.store": hearts})
>>> few = Stage("finetune", "segment:small", {"data.store": hearts, "data.subjects": 2, "init.run": mim})
>>> [stage.verb for stage in in_order(Point("from mim", (few,)).stages)]
['phantom', 'pretrain', 'finetune']
"""

from jaxssl.sweep.design import Cohort, CommonSetting, Scale, fine_tuning, judged, of_scale
from jaxssl.sweep.stage import Options, Point, Stage, StepsInTime, Within, in_order
from jaxssl.sweep.study import Study, load_study, select

__all__ = [
    "Cohort",
    "CommonSetting",
    "Options",
    "Point",
    "Scale",
    "Stage",
    "StepsInTime",
    "Study",
    "Within",
    "fine_tuning",
    "in_order",
    "judged",
    "load_study",
    "of_scale",
    "select",
]
