"""What flows from stage to stage: Row, Prepared, Request, Answer, Outcome, Failure.

Frozen values only: a stage returns a new one. The record that leaves the pipeline is JSON by nature: see schema.
"""

from __future__ import annotations

from pipeline.records.calls import (
    Advice,
    Answer,
    Budget,
    NextPage,
    Outcome,
    Page,
    Problem,
    ProblemKind,
    Reading,
    Request,
    SearchHit,
    Usage,
)
from pipeline.records.pictures import STANDARD_FORMATS, Form, Limits, Prepared, SourceFacts
from pipeline.records.rows import (
    ArchiveMember,
    CloudFile,
    Crop,
    Failure,
    Image,
    InsightsToken,
    LocalFile,
    RemoteUrl,
    Row,
    Skipped,
    Stage,
    image_name,
)

__all__ = [
    "STANDARD_FORMATS",
    "Advice",
    "Answer",
    "ArchiveMember",
    "Budget",
    "CloudFile",
    "Crop",
    "Failure",
    "Form",
    "Image",
    "InsightsToken",
    "Limits",
    "LocalFile",
    "NextPage",
    "Outcome",
    "Page",
    "Prepared",
    "Problem",
    "ProblemKind",
    "Reading",
    "RemoteUrl",
    "Request",
    "Row",
    "SearchHit",
    "Skipped",
    "SourceFacts",
    "Stage",
    "Usage",
    "image_name",
]
