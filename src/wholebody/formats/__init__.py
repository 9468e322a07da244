"""File formats: a writer and a reader for each layout that other programs understand.

| writer           | one file holds       | keypoints                  | boxes | ids | feet | scores   | nobody    |
|------------------|----------------------|----------------------------|-------|-----|------|----------|-----------|
| write_openpose   | a picture            | OPENPOSE_25 (CMU 1.3)      | no    | yes | yes  | yes      | kept      |
| write_comfy      | pictures in order    | OPENPOSE (POSE_KEYPOINT)   | no    | yes | yes  | if asked | kept      |
| write_coco       | pictures by id       | COCO_WHOLEBODY (results)   | yes   | yes | yes  | yes      | no row    |
| write_npz        | a picture            | any schema, every bit      | yes   | yes | yes  | yes      | kept      |
| write_npz_frames | pictures in order    | any schema, every bit      | yes   | yes | yes  | yes      | kept      |
| write_csv        | pictures by name     | any schema                 | no    | yes | yes  | yes      | kept      |
| pose_dict        | (a dict, one way)    | OPENPOSE (controlnet_aux)  | no    | no  | no   | no       | kept      |
| write_npz_video  | a video              | any schema, every bit      | yes   | yes | yes  | yes      | kept      |
| write_parquet    | a video              | any schema, every bit      | yes   | yes | yes  | yes      | kept      |
| write_csv_video  | a video              | any schema                 | yes   | yes | yes  | yes      | kept      |
| write_trc(s)     | a person of a video  | any schema (OpenSim)       | no    | no  | yes  | no       | kept      |
| write_pose2sim   | a folder for a video | COCO_133, HALPE_26, COCO_17| no    | yes | yes  | yes      | kept      |
| write_sign       | a video (.pose)      | COCO_WHOLEBODY             | no    | no  | yes  | yes      | kept      |
| write_deeplabcut | a video (CSV, H5)    | any schema                 | no    | yes | yes  | yes      | kept      |

In memory: `to_bytes(write_openpose, poses)` and `from_bytes(read_openpose, data)`, and likewise for the others.

If a format has no boxes, the reader returns the extent of the points with a score above 0, and a box score of 1.

JSON and CSV hold pixels with 2 decimals and scores with 4. A point with NaN or infinity is written as 0, 0, 0, which
means "missing" in these formats; such a box as 0, 0, 0, 0, and such a box score as 0. The same Poses always give the
same bytes, and files are replaced atomically. A file that cannot be read raises a WholebodyError that names the file
and the field.
"""

from wholebody.files import from_bytes, to_bytes
from wholebody.formats.arrays import (
    read_npz,
    read_npz_frames,
    read_npz_video,
    read_source_frames,
    write_npz,
    write_npz_frames,
    write_npz_video,
)
from wholebody.formats.coco import image_ids, read_coco, write_coco, write_coco_video
from wholebody.formats.comfy import (
    Bodies,
    PoseDict,
    from_pose_keypoint,
    pose_dict,
    pose_keypoint,
    read_comfy,
    write_comfy,
    write_comfy_video,
)
from wholebody.formats.common import Timed
from wholebody.formats.deeplabcut import read_deeplabcut, write_deeplabcut, write_deeplabcut_h5
from wholebody.formats.openpose import openpose_name, read_openpose, write_openpose
from wholebody.formats.opensim import SPORTS2D, Axes, read_trc, write_trc, write_trcs
from wholebody.formats.pose2sim import pose2sim_folder, read_pose2sim, write_pose2sim
from wholebody.formats.sign import read_sign, write_sign
from wholebody.formats.tables import read_csv, read_csv_video, read_parquet, write_csv, write_csv_video, write_parquet

__all__ = [
    "SPORTS2D",
    "Axes",
    "Bodies",
    "PoseDict",
    "Timed",
    "from_bytes",
    "from_pose_keypoint",
    "image_ids",
    "openpose_name",
    "pose2sim_folder",
    "pose_dict",
    "pose_keypoint",
    "read_coco",
    "read_comfy",
    "read_csv",
    "read_csv_video",
    "read_deeplabcut",
    "read_npz",
    "read_npz_frames",
    "read_npz_video",
    "read_openpose",
    "read_parquet",
    "read_pose2sim",
    "read_sign",
    "read_source_frames",
    "read_trc",
    "to_bytes",
    "write_coco",
    "write_coco_video",
    "write_comfy",
    "write_comfy_video",
    "write_csv",
    "write_csv_video",
    "write_deeplabcut",
    "write_deeplabcut_h5",
    "write_npz",
    "write_npz_frames",
    "write_npz_video",
    "write_openpose",
    "write_parquet",
    "write_pose2sim",
    "write_sign",
    "write_trc",
    "write_trcs",
]
