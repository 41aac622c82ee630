"""The verbs, composed from the rooms below: each is a function with the same words as its command."""

from jaxssl.run.ablate import ablate
from jaxssl.run.augmenting import bench_augment
from jaxssl.run.bench import bench_scale
from jaxssl.run.check import data_check
from jaxssl.run.contrasting import bench_loss
from jaxssl.run.data import data_info, data_phantom
from jaxssl.run.embedding import embed
from jaxssl.run.encoder import load
from jaxssl.run.evaluate import evaluate
from jaxssl.run.exporting import export
from jaxssl.run.ingest import data_ingest
from jaxssl.run.loading import bench_loader
from jaxssl.run.lvef import data_lvef
from jaxssl.run.planning import plan
from jaxssl.run.predict import predict
from jaxssl.run.probe import probe
from jaxssl.run.replay import replay
from jaxssl.run.report import report
from jaxssl.run.saliency import saliency
from jaxssl.run.saving import bench_checkpoint
from jaxssl.run.segmentation import segment
from jaxssl.run.split import data_split
from jaxssl.run.stepping import bench_step
from jaxssl.run.training import finetune, pretrain

__all__ = [
    "ablate",
    "bench_augment",
    "bench_checkpoint",
    "bench_loader",
    "bench_loss",
    "bench_scale",
    "bench_step",
    "data_check",
    "data_info",
    "data_ingest",
    "data_lvef",
    "data_phantom",
    "data_split",
    "embed",
    "evaluate",
    "export",
    "finetune",
    "load",
    "plan",
    "predict",
    "pretrain",
    "probe",
    "replay",
    "report",
    "saliency",
    "segment",
]
