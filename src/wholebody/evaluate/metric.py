"""Evaluation: the figures of COCO-WholeBody, from arrays.

    report = evaluate(read_labels("coco_wholebody_val_v1.0.json"), {image_id: poses, ...})
    print(report)                          # every figure with its confidence interval
    report.coco()["wholebody"]["AP"]       # the official number

AP and AR follow the official COCO-WholeBody metric to the last digit: rescoring, OKS-NMS, ignored people, areas. The
matching is implemented here, over all images at once, rather than by a COCO library. The libraries need a dictionary
for each person, and building those for six parts takes longer than everything below. And the intervals need the
individual matches. docs/evaluation.md has the figures.

Two more figures are useful for small sets. Each labelled person is matched with the best prediction in the image, every
prediction at most once; a person without a match counts as 0.

OKS   mean object keypoint similarity over the people with a labelled point of the part.
PCK   fraction of labelled points found within 0.05 of the diagonal of the person's box (body, feet, whole), or within
      0.1 of the diagonal around the part's own labelled points (face, hands; only if half of the part is labelled).

Both hands together ("hands") are the mean of the left and the right hand's figure.

Intervals are percentile bootstraps over images rather than people: people in the same picture share its light, its
crowd and competing detections, so they are not independent. If all people come from four photos, the sample size is
four, and the intervals show it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wholebody.arrays import Bools, Doubles, Floats, Ints
from wholebody.data.labels import Labels
from wholebody.errors import WholebodyError
from wholebody.evaluate.intervals import CHUNK, Resamples, drawn_people, figure
from wholebody.evaluate.report import (
    AREAS,
    COVERED,
    FIGURES,
    MOST,
    PARTS,
    PCK_PART,
    PCK_PERSON,
    RECALLS,
    THRESHOLDS,
    Figure,
    Report,
    Settings,
    rows_of,
)
from wholebody.geometry import box_areas
from wholebody.poses import Poses
from wholebody.schema import COCO_WHOLEBODY, Schema


@dataclass(frozen=True, eq=False)
class Ranking:
    """Predictions as they are evaluated: image by image, and within an image from best to worst.

    Attributes:
        images: (D,) int64 ids.
        rows: (D,) row in the image's poses.
        scores: (D,) ranking scores.
        keypoints: (D, K, 2). keypoint_scores: (D, K).
        schema: the K keypoints.
    """

    images: Ints
    rows: Ints
    scores: Doubles
    keypoints: Floats
    keypoint_scores: Floats
    schema: Schema = COCO_WHOLEBODY

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: npt.NDArray[Any]) -> "Ranking":
        keypoints, keypoint_scores = self.keypoints[rows], self.keypoint_scores[rows]
        return Ranking(self.images[rows], self.rows[rows], self.scores[rows], keypoints, keypoint_scores, self.schema)


@dataclass(frozen=True, eq=False)
class People:
    """The outcome for each labelled person.

    Attributes:
        rows: (M,) row of the matched pose in the image's poses, -1 if there is none.
        oks: part -> (M,) OKS, 0 if the person was missed, NaN if the part has no label and for crowds.
        errors: (M, K) distance in image pixels, infinite if the person was missed, NaN without a label.
    """

    rows: Ints
    oks: Mapping[str, Doubles]
    errors: Doubles


def evaluate(
    labels: Labels,
    predictions: Mapping[int, Poses],
    settings: Settings | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> Report:
    """All figures of all parts.

    Args:
        labels: the people of the set, and all its pictures: a prediction in one without people is a false positive. The
            figures use their schema.
        predictions: image id -> the people found there; images may be missing.
        settings: by default `settings_for` these labels.
        resamples: for the intervals, which are NaN with 0.
        seed: of the resampling.

    Raises:
        WholebodyError: a prediction is not finite, or belongs to an image that the labels lack; or their schema has no
            sigmas.
        ValueError: predictions are of another schema.
    """
    settings = settings or settings_for(labels)
    ranking = rank(predictions, settings, labels.schema)
    data = _Data.of(labels, ranking, settings)
    draws = drawn_people(len(data.images), resamples, seed)
    people = _people(data)

    figures: dict[str, dict[str, Figure]] = {}
    spreads: dict[str, dict[str, Doubles]] = {}
    judged = rows_of(labels.schema)
    for number, (part, rows) in enumerate(judged.items()):
        values, spread = _precision_and_recall(data, number, rows, draws)
        for name, (total, count) in _sums(data, people, part, rows).items():
            values[name], spread[name] = _mean(total, count, data, draws)
        figures[part], spreads[part] = {name: figure(values[name], spread[name]) for name in FIGURES}, spread
    labelled = {part: int(np.isfinite(people.oks[part]).sum()) for part in judged}
    if {"left_hand", "right_hand"} <= judged.keys():
        left, right = (figures[side] for side in ("left_hand", "right_hand"))
        figures["hands"] = {
            name: figure(
                (left[name].value + right[name].value) / 2,
                (spreads["left_hand"][name] + spreads["right_hand"][name]) / 2,
            )
            for name in FIGURES
        }
        either = np.isfinite(people.oks["left_hand"]) | np.isfinite(people.oks["right_hand"])
        labelled["hands"] = int(either.sum())
    parts = PARTS if figures.keys() == set(PARTS) else tuple(figures)
    return Report(
        figures={part: figures[part] for part in parts},
        people={part: labelled[part] for part in parts},
        images=len(data.images),
        predictions=len(ranking),
        settings=settings,
    )


def settings_for(labels: Labels) -> Settings:
    """COCO's settings; if outlines are unknown, as for CrowdPose: a fraction of the box stands for the area."""
    return Settings(use_area=labels.outlined)


def rank(
    predictions: Mapping[int, Poses], settings: Settings | None = None, schema: Schema = COCO_WHOLEBODY
) -> Ranking:
    """Score the predictions, suppress duplicates, and sort the rest.

    Raises:
        WholebodyError: a prediction is not finite.
        ValueError: they are of another schema.
    """
    settings = settings or Settings()
    ids = sorted(predictions)
    poses = Poses.concatenate([predictions[i] for i in ids]) if ids else Poses.empty(schema)
    if poses.schema is not schema:
        raise ValueError(f"predictions are {poses.schema.name}, expected {schema.name}")
    counts = np.array([len(predictions[i]) for i in ids], dtype=np.int64)
    images = np.repeat(np.array(ids, dtype=np.int64), counts)
    rows = np.arange(len(poses)) - np.repeat(np.cumsum(counts) - counts, counts)
    for name in ("keypoints", "scores", "boxes", "box_scores"):
        array = getattr(poses, name)
        if not np.isfinite(array).all():
            bad = np.flatnonzero(~np.isfinite(array).reshape(len(array), -1).all(axis=1))[0]
            raise WholebodyError(
                f"image {images[bad]}, prediction {rows[bad]}: {name} hold NaN or an infinite number. "
                "Leave it out or predict again."
            )
    scores = poses.box_scores.astype(np.float64)
    if settings.score == "box_keypoint":
        # In float32; otherwise a score written as 0.2 would be above 0.2.
        sure = poses.scores > np.float32(settings.keypoint_threshold)
        total = (poses.scores.astype(np.float64) * sure).sum(axis=1)
        scores = scores * total / np.maximum(sure.sum(axis=1), 1)
    every = Ranking(images, rows, scores, poses.keypoints, poses.scores, schema)
    if settings.nms != "none" and len(every):
        every = every[_suppress(every, poses.boxes, settings)]
    return every[np.lexsort((-every.scores, every.images))]


def match(labels: Labels, predictions: Mapping[int, Poses], settings: Settings | None = None) -> People:
    """Match each labelled person with the best prediction, every prediction at most once.

    Raises:
        WholebodyError: as `evaluate`.
    """
    settings = settings or settings_for(labels)
    data = _Data.of(labels, rank(predictions, settings, labels.schema), settings)
    found, back = _people(data), np.argsort(data.order)
    return People(found.rows[back], {part: value[back] for part, value in found.oks.items()}, found.errors[back])


def _suppress(ranking: Ranking, boxes: Floats, settings: Settings) -> Ints:
    """The kept rows, in the order in which they were kept."""
    n = len(ranking)
    # The released code sorts in ascending order and reads from the end, so of ties the last comes first.
    order = np.lexsort((-np.arange(n), -ranking.scores, ranking.images))
    aspect = settings.input_size[0] / settings.input_size[1]
    w, h = (boxes[:, 2:].astype(np.float64) - boxes[:, :2]).T * settings.padding
    areas = np.maximum(w, h * aspect) ** 2 / aspect  # of the crop
    _, starts, counts = np.unique(ranking.images[order], return_index=True, return_counts=True)
    later = np.repeat(starts + counts, counts) - np.arange(n) - 1  # number of later ones in the same image
    first = np.repeat(np.arange(n), later)
    second = first + 1 + np.arange(len(first)) - np.repeat(np.cumsum(later) - later, later)
    similar = np.empty(len(first))
    for i in range(0, len(first), CHUNK):
        a, b = order[first[i : i + CHUNK]], order[second[i : i + CHUNK]]
        scale = (areas[a] + areas[b] + np.spacing(1))[:, None] * _variance(ranking.schema)
        similar[i : i + CHUNK] = np.exp(-_squared(ranking.keypoints[a], ranking.keypoints[b]) / scale).mean(axis=1)
    if settings.nms == "oks":
        keep = np.ones(n, dtype=bool)
        # Pairs are processed so that a prediction is decided before it can suppress others.
        for pair in np.flatnonzero(similar > settings.nms_threshold):
            keep[second[pair]] &= not keep[first[pair]]
        return order[keep]
    offsets = np.cumsum(later) - later
    return np.concatenate(
        [
            order[start + _soft(ranking.scores[order[start : start + count]], similar, offsets[start:], settings)]
            for start, count in zip(starts, counts, strict=True)
        ]
    )


def _soft(scores: Doubles, similar: Doubles, offsets: Ints, settings: Settings) -> Ints:
    """Soft NMS: take the best, lower the scores of similar ones, repeat `MOST` times. Rows of one image, best first."""
    left = np.arange(len(scores))
    kept: list[int] = []
    while len(left) and len(kept) < MOST:
        i, left, scores = int(left[0]), left[1:], scores[1:]
        kept.append(i)
        low, high = np.minimum(i, left), np.maximum(i, left)
        scores = scores * np.exp(-(similar[offsets[low] + high - low - 1] ** 2) / settings.nms_threshold)
        again = np.argsort(scores, kind="stable")[::-1]
        left, scores = left[again], scores[again]
    return np.array(kept, dtype=np.int64)


def _squared(a: npt.NDArray[np.floating], b: npt.NDArray[np.floating]) -> Doubles:
    """(..., 2) and (..., 2) -> (...) squared distances."""
    x: Doubles = a[..., 0].astype(np.float64) - b[..., 0]
    y: Doubles = a[..., 1].astype(np.float64) - b[..., 1]
    return x * x + y * y


def _variance(schema: Schema) -> Doubles:
    variance: Doubles = (2 * schema.sigmas) ** 2
    return variance


def _sums_of_parts(points: npt.NDArray[Any], schema: Schema, dtype: type | None = None) -> npt.NDArray[Any]:
    """(n, K) -> (n, parts + 1) sums over each part, and over all."""
    parts = np.add.reduceat(points, [rows.start for rows in schema.parts.values()], axis=1, dtype=dtype)
    return np.column_stack([parts, parts.sum(axis=1)])


@dataclass(frozen=True, eq=False)
class _Data:
    """Labels and ranking together, people sorted by image, and the OKS of every prediction with every person in its
    image: pair `first[d] + i` is prediction d with the i-th person of its image."""

    images: Ints  # (I,) sorted ids
    order: Ints  # (M,) rows of the labels in the order used here
    keypoints: Doubles  # (M, K, 2)
    labelled: Bools  # (M, K)
    counts: Ints  # (M, parts + 1) labelled points of each part
    boxes: Doubles  # (M, 4)
    areas: Doubles  # (M,)
    crowd: Bools  # (M,)
    place: Ints  # (M,) row of `images`
    starts: Ints  # (I,) first person of each image
    people: Ints  # (I,) how many
    ranking: Ranking
    found: Ints  # (D,) row of `images`
    extent: Doubles  # (D,) square pixels
    first: Ints  # (D,)
    similar: Doubles  # (pairs, parts + 1)
    schema: Schema

    @classmethod
    def of(cls, labels: Labels, ranking: Ranking, settings: Settings) -> "_Data":
        schema = labels.schema
        if np.isnan(schema.sigmas).any():
            raise WholebodyError(f"{schema.name} has no sigmas, and OKS needs them. Choose another schema.")
        images = np.array(sorted(labels.images), dtype=np.int64)
        strange = np.setdiff1d(ranking.images, images)
        if len(strange):
            raise WholebodyError(
                f"there are predictions for image {strange[0]}, which the labels do not have. "
                "Give predictions and labels of the same set."
            )
        order = np.argsort(labels.image_ids, kind="stable")
        boxes = labels.boxes[order]
        labelled = labels.visible[order] > 0
        counts = _sums_of_parts(labelled, schema, np.int64)
        place = np.searchsorted(images, labels.image_ids[order])
        areas = labels.areas[order]
        if not settings.use_area:
            areas = COVERED * box_areas(boxes)
        people = np.bincount(place, minlength=len(images))
        starts = np.cumsum(people) - people
        found = np.searchsorted(images, ranking.images)
        body = ranking.keypoints[:, ranking.schema.body].astype(np.float64)
        partners = people[found]
        first = np.cumsum(partners) - partners
        d = np.repeat(np.arange(len(found)), partners)
        g = np.repeat(starts[found] - first, partners) + np.arange(len(d))
        keypoints = labels.keypoints[order]
        return cls(
            images=images,
            order=order,
            keypoints=keypoints,
            labelled=labelled,
            counts=counts,
            boxes=boxes,
            areas=areas,
            crowd=labels.iscrowd[order],
            place=place,
            starts=starts,
            people=people,
            ranking=ranking,
            found=found,
            extent=np.ptp(body, axis=1).prod(axis=1) if len(body) else np.zeros(0),
            first=first,
            similar=_similar(ranking.keypoints, keypoints, labelled, counts, boxes, areas, d, g, schema),
            schema=schema,
        )


def _similar(
    predicted: Floats,
    keypoints: Doubles,
    labelled: Bools,
    counts: Ints,
    boxes: Doubles,
    areas: Doubles,
    d: Ints,
    g: Ints,
    schema: Schema,
) -> Doubles:
    """(pairs, parts + 1) OKS of prediction d with person g for each part and the whole.

    If a person has no label for a part, points count by their distance from the doubled box, as in COCO; this decides
    which predictions are ignored.
    """
    judged, variance = rows_of(schema), _variance(schema)
    similar = np.empty((len(d), len(judged)))
    size = boxes[:, 2:] - boxes[:, :2]
    low, high = (boxes[:, :2] - size)[:, None], (boxes[:, 2:] + size)[:, None]
    for start in range(0, len(d), CHUNK):
        at = slice(start, start + CHUNK)
        i, j = d[at], g[at]
        points, scale = predicted[i], 2 * (areas[j, None] + np.spacing(1)) * variance
        each = np.exp(-_squared(points, keypoints[j]) / scale) * labelled[j]
        similar[at] = _sums_of_parts(each, schema) / np.maximum(counts[j], 1)
        for number, rows in enumerate(judged.values()):
            bare = np.flatnonzero(counts[j, number] == 0)
            there, whose = points[bare, rows], j[bare]
            distance = _squared(there, np.clip(there, low[whose], high[whose]))
            similar[start + bare, number] = np.exp(-distance / scale[bare, rows]).mean(axis=1)
    return similar


def _precision_and_recall(
    data: _Data, number: int, rows: slice, draws: Resamples
) -> tuple[dict[str, float], dict[str, Doubles]]:
    """AP and AR of one part, and of each resampling (B,)."""
    ignored = data.crowd | (data.counts[:, number] == 0)
    ignored = ignored | (data.areas < AREAS[:, :1]) | (data.areas > AREAS[:, 1:])  # (A, M)
    # A prediction without the part is not evaluated.
    chosen = np.flatnonzero((data.ranking.keypoint_scores[:, rows] > 0).any(axis=1))
    place = np.arange(len(chosen)) - np.searchsorted(data.found[chosen], data.found[chosen])
    chosen, place = chosen[place < MOST], place[place < MOST]
    outcome = _outcomes(data, number, chosen, place, ignored)
    outside = (data.extent[chosen] < AREAS[:, :1]) | (data.extent[chosen] > AREAS[:, 1:])
    hit = outcome == 1  # (A, T, n)
    counted = hit | ((outcome == 0) & ~outside[:, None])
    best_first = np.argsort(-data.ranking.scores[chosen], kind="stable")
    hit, counted, image = hit[..., best_first], counted[..., best_first], data.found[chosen][best_first]

    values: dict[str, float] = {}
    spread: dict[str, Doubles] = {}
    for a, size in enumerate(("", "_M", "_L")):
        there = np.bincount(data.place[~ignored[a]], minlength=len(data.images))
        precision, recall = _curve(hit[a], counted[a], int(there.sum()))
        precisions, recalls = draws.curves(hit[a], counted[a], image, there, precision)
        for name, value, many in (("AP", precision, precisions), ("AR", recall, recalls)):
            values[name + size], spread[name + size] = float(value.mean()), many.mean(axis=1)
            if not size:
                for t, percent in ((0, "50"), (5, "75")):
                    values[name + percent], spread[name + percent] = float(value[t]), many[:, t]
    return values, spread


def _outcomes(data: _Data, number: int, chosen: Ints, place: Ints, ignored: Bools) -> npt.NDArray[np.int8]:
    """COCO's greedy matching: from best to worst, each prediction takes the most similar free person.

    Args:
        chosen: (n,) predictions. place: (n,) their rank in their image, 0 for the best.
        ignored: (A, M) people who are ignored, for each range of areas.

    Returns:
        (A, T, n): 0 no match, 1 a person, 2 an ignored person, who is matched only if no other fits.
    """
    outcome = np.zeros((len(AREAS), len(THRESHOLDS), len(chosen)), dtype=np.int8)
    people = data.people[data.found[chosen]]
    # Images with the same number of people are processed together.
    for k in np.unique(people[people > 0]):
        here = np.flatnonzero(people == k)
        images, slot = np.unique(data.found[chosen[here]], return_inverse=True)
        who = data.starts[images] + np.arange(k)[:, None]  # (k, images)
        similar = np.full((int(place[here].max()) + 1, k, len(images)), -1.0)
        similar[place[here], :, slot] = data.similar[data.first[chosen[here], None] + np.arange(k), number]
        # Larger is better; of ties the later one; and people who count before ignored ones.
        liked = np.argsort(np.argsort(similar, axis=1, kind="stable"), axis=1).astype(np.int16) + np.int16(1)
        counts = ~ignored[:, None, who].transpose(2, 3, 0, 1)  # (k, images, A, 1)
        crowd = data.crowd[who][..., None, None]
        free = np.ones((k, len(images), len(AREAS), len(THRESHOLDS)), dtype=bool)
        taken = np.empty((len(similar), len(images), len(AREAS), len(THRESHOLDS)), dtype=np.int8)
        for i in range(len(similar)):
            fits = (similar[i, ..., None] >= THRESHOLDS)[:, :, None]
            value = (free & fits) * (liked[i][..., None, None] + counts * np.int16(k))
            best = value.max(axis=0)
            taken[i] = np.where(best > k, 1, 2 * (best > 0))
            free &= (value != best) | (best == 0) | crowd
        outcome[..., here] = taken[place[here], slot].transpose(1, 2, 0)
    return outcome


def _curve(hit: Bools, counted: Bools, people: int) -> tuple[Doubles, Doubles]:
    """(T,) average precision over the recall levels and (T,) recall, of predictions (T, n) from best to worst."""
    nothing = np.full(len(hit), np.nan if people == 0 else 0.0)
    if people == 0 or hit.shape[1] == 0:
        return nothing, nothing
    hits = hit.cumsum(axis=1)
    precision = hits / (counted.cumsum(axis=1) + np.spacing(1))
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = hits / people
    reached = np.searchsorted(RECALLS, recall, side="right")
    average: Doubles = (envelope * np.diff(reached, axis=1, prepend=0)).sum(axis=1) / len(RECALLS)
    return average, recall[:, -1]


def _people(data: _Data) -> People:
    """`match` for sorted data."""
    m = len(data.order)
    pair = np.full(m, -1, dtype=np.int64)
    d = np.repeat(np.arange(len(data.found)), data.people[data.found])
    g = np.repeat(data.starts[data.found] - data.first, data.people[data.found]) + np.arange(len(d))
    whole = data.similar[:, -1]
    real = ~data.crowd & (data.counts[:, -1] > 0)
    candidates = np.flatnonzero(real[g])
    candidates = candidates[np.argsort(-whole[candidates], kind="stable")]
    free = [True] * len(data.found)
    mate = [-1] * m
    for p, i, j in zip(candidates.tolist(), d[candidates].tolist(), g[candidates].tolist(), strict=True):
        if free[i] and mate[j] < 0:
            free[i], mate[j] = False, p
    pair[:] = mate
    met = pair >= 0
    judged = rows_of(data.schema)
    oks_of = np.where(met[:, None], data.similar[pair], 0.0) if len(data.similar) else np.zeros((m, len(judged)))
    oks_of = np.where((data.counts > 0) & real[:, None], oks_of, np.nan)
    errors = np.full((m, len(data.schema)), np.inf)
    errors[met] = np.linalg.norm(data.ranking.keypoints[d[pair[met]]] - data.keypoints[met], axis=2)
    errors[~(data.labelled & real[:, None])] = np.nan
    rows = np.full(m, -1, dtype=np.int64)
    rows[met] = data.ranking.rows[d[pair[met]]]
    return People(rows, dict(zip(judged, oks_of.T, strict=True)), errors)


def _sums(data: _Data, people: People, part: str, rows: slice) -> dict[str, tuple[Doubles, Doubles]]:
    """OKS and PCK as each person's contribution to the sum and to the count."""
    similar, errors = people.oks[part], people.errors[:, rows]
    there = np.isfinite(similar)
    if part in ("face", "left_hand", "right_hand"):
        labelled, points = data.labelled[:, rows], data.keypoints[:, rows]
        low = np.where(labelled[..., None], points, np.inf).min(axis=1)
        high = np.where(labelled[..., None], points, -np.inf).max(axis=1)
        half = labelled.sum(axis=1) * 2 >= labelled.shape[1]
        sized, size = there & half, np.where(half[:, None], high - low, 0)
        near = PCK_PART
    else:
        sized, size, near = there, data.boxes[:, 2:] - data.boxes[:, :2], PCK_PERSON
    reach = near * np.linalg.norm(size, axis=1)
    right = (errors <= reach[:, None]).sum(axis=1)  # NaN compares false
    known = (~np.isnan(errors)).sum(axis=1)
    return {
        "OKS": (np.where(there, similar, 0), there.astype(np.float64)),
        "PCK": (right * sized.astype(np.float64), known * sized.astype(np.float64)),
    }


def _mean(total: Doubles, count: Doubles, data: _Data, draws: Resamples) -> tuple[float, Doubles]:
    """The mean over people, and of each resampling (B,)."""
    block, n = draws.block[data.place], draws.weights.shape[1]
    totals, counts = (np.bincount(block, weights=column, minlength=n) for column in (total, count))
    with np.errstate(invalid="ignore", divide="ignore"):
        many: Doubles = (draws.weights @ totals) / (draws.weights @ counts)
    return float(many[0]), many[1:]
